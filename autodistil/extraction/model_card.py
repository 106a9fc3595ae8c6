"""The README of an exported student, as the Hugging Face hub shows it."""

from collections.abc import Sequence

from autodistil.evaluation.candidates import Candidate
from autodistil.spaces.architecture import Architecture
from autodistil.spaces.cost import Cost
from autodistil.spaces.mixture import Sizes
from autodistil.superlm.bundle import SuperLM

Row = tuple[str, str, str]
"""What is compared, of the student, and of the teacher."""


def student_card(superlm: SuperLM, candidate: Candidate) -> str:
    """The card of a student of the candidate table.

    Args:
        superlm: The SuperLM it was sliced from.
        candidate: The student.
    """
    spec, architecture = superlm.spec, candidate.architecture
    about = (
        f"A student of `{spec.teacher.name}`, sliced without re-training out of the SuperLM\n"
        f"`{spec.reference}` (AutoDistil, arXiv 2201.12507), ready for fine-tuning."
    )
    sizes = (
        "layers / hidden / heads x width / FFN",
        _sizes(architecture),
        _sizes(spec.teacher.architecture),
    )
    losses = [
        ("held-out relation loss (KL)", f"{candidate.relation_loss}", "0"),
        ("held-out similarity loss (KL)", f"{candidate.similarity_loss}", "0"),
    ]
    return model_card(superlm, architecture, candidate.cost, about, [sizes], losses)


def model_card(
    superlm: SuperLM,
    sizes: Sizes,
    counted: Cost,
    about: str,
    shape: Sequence[Row],
    signals: Sequence[Row] = (),
) -> str:
    """The card of any encoder cut out of a SuperLM.

    Args:
        superlm: The SuperLM.
        sizes: The sizes of the encoder.
        counted: What it costs.
        about: What it is, in a paragraph.
        shape: Rows that compare its sizes with the teacher's.
        signals: Rows that compare what was measured on held-out text.
    """
    spec = superlm.spec
    whole = spec.teacher_cost
    costs = [
        ("parameters", f"{counted.params:,}", f"{whole.params:,}"),
        (
            f"MACs of the encoder, {counted.sequence_length} tokens",
            f"{counted.macs:,}",
            f"{whole.macs:,}",
        ),
        ("the same in the paper's counting", f"{counted.paper_macs:,}", f"{whole.paper_macs:,}"),
    ]
    rows = "\n".join(f"| {' | '.join(row)} |" for row in (*shape, *costs, *signals))
    # Without it, the tokenizer too stops to ask whether the model's code may run.
    trust = "" if sizes.stock else ", trust_remote_code=True"
    return f"""---
library_name: transformers
tags: [autodistil, distillation]
base_model: {spec.teacher.name}
---
# {sizes.name} of {spec.reference}

{about}

| | student | teacher |
|---|---|---|
{rows}

```python
from transformers import AutoModel, AutoTokenizer

model = AutoModel.from_pretrained(folder{trust})
tokenizer = AutoTokenizer.from_pretrained(folder{trust})
```

The SuperLM saw {spec.provenance.tokens_seen:,} tokens of: {spec.provenance.corpus}.
Its `superlm.json` has the sha256 {superlm.sha256}.
"""


def _sizes(a: Architecture) -> str:
    return f"{a.layers} / {a.hidden} / {a.heads} x {a.head_width} / {a.intermediate}"
