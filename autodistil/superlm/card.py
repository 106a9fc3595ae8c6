"""The README of a bundle: what it holds and its Pareto front, to be read without running it."""

from collections.abc import Sequence

from autodistil.evaluation.candidates import Candidate
from autodistil.search.entry import Entry
from autodistil.search.fronts import CostAxis, pareto_front
from autodistil.spaces.spec import SuperLMSpec

_AXES = (CostAxis.MACS, CostAxis.PARAMS, CostAxis.BYTES)
_COLUMNS = {
    "layers": "layers",
    "hidden": "hidden",
    "heads": "heads",
    "FFN": "intermediate",
    "tokens": "vocab",
    "MACs": "macs",
    "params": "params",
    "bytes": "size_bytes",
    "quality": "quality",
    "distance": "vector_distance",
    "relation loss": "relation_loss",
}
"""Columns of the table; those that no student has a value of are left out."""


def bundle_card(spec: SuperLMSpec, candidates: Sequence[Candidate]) -> str:
    """The README as Markdown.

    Args:
        spec: The spec.
        candidates: The evaluated candidate table.
    """
    space, teacher, provenance = spec.space, spec.teacher, spec.provenance
    entries = [Entry(spec.reference, candidate, spec.teacher_cost) for candidate in candidates]
    on_front = {axis: pareto_front(entries, axis) for axis in _AXES}
    chosen = [entry for entry in entries if any(entry in front for front in on_front.values())]
    chosen.sort(key=lambda entry: (entry.candidate.macs, entry.candidate.params))
    rows = [entry.row() for entry in chosen]
    columns = {
        title: key for title, key in _COLUMNS.items() if any(row[key] is not None for row in rows)
    }
    head = [*columns, "cheapest of its quality by"]
    text = "128 tokens"
    if space.vocab:
        text = "a text that has 128 tokens in the teacher's vocabulary"
    lines = [
        f"# {spec.reference}",
        f"A SuperLM of autodistil: {len(candidates)} students of `{teacher.name}` in the sub-space "
        f"{space.name} (head policy {space.head_policy.value}), each a slice of one file.",
        "",
        f"- Layers {_list(space.layers)}; hidden {_list(space.hidden)}; heads "
        f"{_list(sorted({c.heads for c in candidates}))} of {space.head_width}; FFN "
        f"{_list(space.ffn_percent)} % of hidden"
        f"{f'; {_list(space.vocab)} tokens' if space.vocab else ''}.",
        f"- Trained on {provenance.tokens_seen:,} tokens, scored on {provenance.held_out_tokens:,} "
        "held-out tokens.",
        f"- MACs are those of the encoder's layers for {text}; bytes those of the fp32 weights.",
        "- Quality is a label-free estimate of the share of the teacher's score that a student "
        "keeps. It is calibrated on all-MiniLM-L6-v2; for another teacher only the order counts.",
        "",
        "## Pareto front",
        f"Of the {len(candidates)} students the {len(chosen)} than which no other is at least as "
        "good for less.",
        "",
        f"| {' | '.join(head)} |",
        "|" + "---:|" * len(columns) + "---|",
    ]
    for entry, row in zip(chosen, rows, strict=True):
        cells = [_cell(row[key]) for key in columns.values()]
        axes = [axis.value for axis, front in on_front.items() if entry in front]
        lines.append(f"| {' | '.join([*cells, ', '.join(axes)])} |")
    return "\n".join(lines) + "\n"


def _list(values: Sequence[int]) -> str:
    return ", ".join(map(str, values))


def _cell(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
