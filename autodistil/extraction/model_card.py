"""The README of an exported student, as the Hugging Face hub shows it."""

from autodistil.evaluation.candidates import Candidate
from autodistil.families.architecture import Architecture
from autodistil.spaces.embedding import Pooling
from autodistil.superlm.bundle import SuperLM

_POOLED = {
    Pooling.MEAN: "the mean of its tokens",
    Pooling.CLS: "the first token's",
    Pooling.MAX: "the largest values of its tokens",
    Pooling.MEAN_SQRT_LEN: "the sum of its tokens over the root of their number",
    Pooling.LAST: "the last token's",
}


def model_card(superlm: SuperLM, candidate: Candidate, mapped: bool) -> str:
    """The card of a student of the candidate table.

    Args:
        superlm: The SuperLM it was sliced from.
        candidate: The student.
        mapped: Whether it has its map to the teacher's width.
    """
    spec, student = superlm.spec, candidate.architecture
    own = spec.cost_of(student, mapped)
    whole = spec.teacher_cost
    compared = [  # what is compared, of the student, and of the teacher
        (
            "layers / hidden / heads x width / FFN / tokens",
            _sizes(student),
            _sizes(spec.teacher.architecture),
        ),
        ("parameters", f"{own.params:,}", f"{whole.params:,}"),
        (f"MACs of the encoder, {own.sequence_length} tokens", f"{own.macs:,}", f"{whole.macs:,}"),
        ("the same in the paper's counting", f"{own.paper_macs:,}", f"{whole.paper_macs:,}"),
        *_signals(candidate),
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
{_vectors(superlm, mapped)}
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


def _signals(candidate: Candidate) -> list[tuple[str, str, str]]:
    """What was measured on held-out text, of those that there are."""
    found = [
        ("mean cosine to the teacher's sentence vectors", candidate.vector_distance, 1.0),
        ("held-out relation loss (KL)", candidate.relation_loss, 0.0),
        ("held-out similarity loss (KL)", candidate.similarity_loss, 0.0),
    ]
    return [
        (name, f"{abs(whole - value):.4f}", f"{whole:g}")
        for name, value, whole in found
        if value is not None
    ]


def _vectors(superlm: SuperLM, mapped: bool) -> str:
    """What the student's sentence vectors are good for, as a paragraph; empty if it has none."""
    embedding = superlm.spec.teacher.embedding
    if embedding is None:
        return ""
    name = superlm.spec.teacher.name
    made = f"{_POOLED[embedding.pooling]}{', normalised' if embedding.normalize else ''}"
    if mapped or superlm.spec.map_width is None:
        return (
            f"\nIts sentence vectors ({embedding.width} wide; {made}) are in the space of `{name}`:"
            "\nit stands in for the teacher, and searches an index that the teacher built. Embed "
            "the documents\nwith the teacher once, and queries with this student.\n"
        )
    return (
        f"\nIts sentence vectors ({made}) are in a space of their own: compare them with each "
        f"other, not\nwith those of `{name}`.\n"
    )


def _sizes(a: Architecture) -> str:
    words = "all" if a.vocab is None else f"{a.vocab:,}"
    return f"{a.layers} / {a.hidden} / {a.heads} x {a.head_width} / {a.intermediate} / {words}"
