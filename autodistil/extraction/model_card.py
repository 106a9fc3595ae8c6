"""The README of an exported student, as the Hugging Face hub shows it."""

from autodistil.evaluation.candidates import Candidate
from autodistil.spaces.architecture import Architecture
from autodistil.superlm.bundle import SuperLM


def model_card(superlm: SuperLM, candidate: Candidate) -> str:
    """The card of a student of the candidate table.

    Args:
        superlm: The SuperLM it was sliced from.
        candidate: The student.
    """
    spec, student, own = superlm.spec, candidate.architecture, candidate.cost
    whole = spec.teacher_cost
    compared = [  # what is compared, of the student, and of the teacher
        (
            "layers / hidden / heads x width / FFN",
            _sizes(student),
            _sizes(spec.teacher.architecture),
        ),
        ("parameters", f"{own.params:,}", f"{whole.params:,}"),
        (f"MACs of the encoder, {own.sequence_length} tokens", f"{own.macs:,}", f"{whole.macs:,}"),
        ("the same in the paper's counting", f"{own.paper_macs:,}", f"{whole.paper_macs:,}"),
        ("held-out relation loss (KL)", f"{candidate.relation_loss}", "0"),
        ("held-out similarity loss (KL)", f"{candidate.similarity_loss}", "0"),
    ]
    rows = "\n".join(f"| {' | '.join(row)} |" for row in compared)
    # Without it, the tokenizer too stops to ask whether the model's code may run.
    trust = "" if student.stock else ", trust_remote_code=True"
    return f"""---
library_name: transformers
tags: [autodistil, distillation]
base_model: {spec.teacher.name}
---
# {student.name} of {spec.reference}

A student of `{spec.teacher.name}`, sliced without re-training out of the SuperLM
`{spec.reference}` (AutoDistil, arXiv 2201.12507), ready for fine-tuning.

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
