"""A mixture as a checked folder on disk."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from autodistil.extraction.export import check_parity, write_model_folder
from autodistil.extraction.extraction import PHASES
from autodistil.extraction.receipt import Parity
from autodistil.mixtures.report import ProposedMixture
from autodistil.search.budget import Budget
from autodistil.spaces.architecture import Architecture
from autodistil.spaces.cost import Cost, cost
from autodistil.spaces.mixture import Mixture
from autodistil.spaces.spec import FileEntry
from autodistil.superlm.bundle import SuperLM
from autodistil.superlm.slicing import load_elastic, slice_mixture
from autodistil.versions import software_versions


class MixtureReceipt(BaseModel):
    """The receipt of a mixture.

    Attributes:
        superlm: `name@version`.
        superlm_sha256: Hash of the bundle's `superlm.json`, which holds all other hashes.
        teacher: Name of the teacher.
        mixture: Its sizes.
        stock: Whether plain `transformers` loads it without code of ours.
        budget: The budget as asked, or null if the mixture was named.
        limits: Its limits in absolute numbers.
        judgement: What a search found about it, or null if it was never judged.
        parity: How near the exported mixture is to the SuperLM's own.
        files: Size and sha256 of every file of the folder.
        versions: Software that made it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    superlm: str
    superlm_sha256: str
    teacher: str
    mixture: Mixture
    sub_space: str
    stock: bool
    cost: Cost
    budget: dict[str, Any] | None
    limits: dict[str, int | float]
    judgement: ProposedMixture | None
    parity: Parity
    files: dict[str, FileEntry]
    versions: dict[str, str]


def extract_mixture(
    superlm: SuperLM,
    mixture: Mixture,
    folder: Path,
    judgement: ProposedMixture | None = None,
    budget: Budget | None = None,
    on_phase: Callable[[str], None] = lambda phase: None,
) -> MixtureReceipt:
    """Slice a mixture, export it to `folder`, and check it against the SuperLM.

    Args:
        superlm: The SuperLM.
        mixture: The mixture to hand over.
        folder: An empty or missing folder.
        judgement: What a search found about it.
        budget: What was asked for, kept in the receipt.
        on_phase: Called with the name of each of `PHASES` as it begins.

    Raises:
        InvalidInput: It is no mixture of this SuperLM.
        ParityFailure: It does not load cleanly or computes something else.
        InvalidBundle: The weights cannot be read.
    """
    slicing, exporting, verifying = PHASES
    on_phase(slicing)
    tensors = slice_mixture(superlm, mixture)
    on_phase(exporting)
    spec = superlm.spec
    counted = cost(mixture, spec.encoder, spec.teacher.architecture.heads)
    card = _model_card(superlm, mixture, counted, judgement)
    files = write_model_folder(superlm, mixture, tensors, card, folder)
    on_phase(verifying)
    parity = check_parity(superlm, mixture, folder, load_elastic(superlm))
    return MixtureReceipt(
        superlm=spec.reference,
        superlm_sha256=superlm.sha256,
        teacher=spec.teacher.name,
        mixture=mixture,
        sub_space=spec.space.name,
        stock=mixture.stock,
        cost=counted,
        budget=budget.model_dump(mode="json", exclude_none=True) if budget else None,
        limits=budget.limits(spec.teacher_cost) if budget else {},
        judgement=judgement,
        parity=parity,
        files=files,
        versions=software_versions(),
    )


def _model_card(
    superlm: SuperLM, mixture: Mixture, counted: Cost, judgement: ProposedMixture | None
) -> str:
    spec = superlm.spec
    trust = "" if mixture.stock else ", trust_remote_code=True"
    judged = "It was not compared with the students of its sub-space."
    if judgement is not None:
        gain = judgement.gain
        judged = (
            f"On held-out text that it was not chosen by, its quality is {judgement.quality:.4f}, "
            f"{gain.mean:+.4f} ({gain.low:+.4f} to {gain.high:+.4f}) against "
            f"`{judgement.rival}`, the best student with no more MACs."
        )
    teacher: Architecture = spec.teacher.architecture
    return f"""---
library_name: transformers
tags: [autodistil, distillation]
base_model: {spec.teacher.name}
---
# {mixture.name} of {spec.reference}

A student of `{spec.teacher.name}` whose layers differ in size, sliced without re-training out of
the SuperLM `{spec.reference}` (AutoDistil, arXiv 2201.12507; mixtures of layers as in MatFormer,
arXiv 2310.07707), ready for fine-tuning. {judged}

| | student | teacher |
|---|---|---|
| layers / hidden | {mixture.layers} / {mixture.hidden} | {teacher.layers} / {teacher.hidden} |
| heads per layer, {mixture.head_width} wide | {_list(mixture.heads)} | \
{teacher.heads}, {teacher.head_width} wide |
| FFN per layer | {_list(mixture.intermediate)} | {teacher.intermediate} |
| parameters | {counted.params:,} | {spec.teacher_cost.params:,} |
| MACs of the encoder, {counted.sequence_length} tokens | {counted.macs:,} | \
{spec.teacher_cost.macs:,} |
| the same in the paper's counting | {counted.paper_macs:,} | {spec.teacher_cost.paper_macs:,} |

```python
from transformers import AutoModel, AutoTokenizer

model = AutoModel.from_pretrained(folder{trust})
tokenizer = AutoTokenizer.from_pretrained(folder{trust})
```

The SuperLM saw {spec.provenance.tokens_seen:,} tokens of: {spec.provenance.corpus}.
Its `superlm.json` has the sha256 {superlm.sha256}.
"""


def _list(sizes: tuple[int, ...]) -> str:
    return ", ".join(map(str, sizes))
