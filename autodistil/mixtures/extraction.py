"""A mixture as a checked folder on disk."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from autodistil.extraction.export import check_parity, write_model_folder
from autodistil.extraction.extraction import PHASES
from autodistil.extraction.model_card import model_card
from autodistil.extraction.receipt import Parity
from autodistil.mixtures.report import ProposedMixture
from autodistil.search.budget import Budget
from autodistil.spaces.cost import Cost
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
    counted = spec.cost_of(mixture)
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
    spec, teacher = superlm.spec, superlm.spec.teacher.architecture
    judged = "It was not compared with the students of its sub-space."
    if judgement is not None:
        gain = judgement.gain
        judged = (
            "On held-out text that it was not chosen by, its agreement with the teacher is "
            f"{judgement.agreement:.4f}, {gain.mean:+.4f} ({gain.low:+.4f} to {gain.high:+.4f}) "
            f"against `{judgement.rival}`, the best student with no more MACs."
        )
    about = (
        f"A student of `{spec.teacher.name}` whose layers differ in size, sliced without "
        f"re-training out of\nthe SuperLM `{spec.reference}` (AutoDistil, arXiv 2201.12507; "
        f"mixtures of layers as in MatFormer,\narXiv 2310.07707), ready for fine-tuning. {judged}"
    )
    shape = [
        (
            "layers / hidden",
            f"{mixture.layers} / {mixture.hidden}",
            f"{teacher.layers} / {teacher.hidden}",
        ),
        (
            f"heads per layer, {mixture.head_width} wide",
            _list(mixture.heads),
            f"{teacher.heads}, {teacher.head_width} wide",
        ),
        ("FFN per layer", _list(mixture.intermediate), f"{teacher.intermediate}"),
    ]
    return model_card(superlm, mixture, counted, about, shape)


def _list(sizes: tuple[int, ...]) -> str:
    return ", ".join(map(str, sizes))
