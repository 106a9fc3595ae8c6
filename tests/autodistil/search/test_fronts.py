import random
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from autodistil.errors import InvalidInput
from autodistil.evaluation.quality import Score
from autodistil.search.entry import Entry
from autodistil.search.front_picture import plot_fronts
from autodistil.search.fronts import CostAxis, front_report, fronts, pareto_front
from tests.autodistil.search.brute_force import EVALUATED, TEACHER, table, worth


def dominates(one: Entry, other: Entry, axis: CostAxis, score: Score) -> bool:
    """The definition, written out: nowhere worse, and somewhere better."""
    costs = one.value(axis.field), other.value(axis.field)
    scores = worth(one, score), worth(other, score)
    return (
        costs[0] <= costs[1]
        and scores[0] >= scores[1]
        and (costs[0] < costs[1] or scores[0] > scores[1])
    )


@pytest.mark.parametrize("axis", [axis for axis in CostAxis if axis is not CostAxis.LATENCY])
@pytest.mark.parametrize("score", list(Score))
def test_a_front_holds_exactly_what_nothing_dominates(axis: CostAxis, score: Score) -> None:
    rng = random.Random(f"{axis} {score}")
    for _ in range(40):
        entries = table(rng, rng.randint(1, 40))
        front = pareto_front(entries, axis, score)
        undominated = [
            e for e in entries if not any(dominates(other, e, axis, score) for other in entries)
        ]
        # Equals stand for each other.
        places = {(e.value(axis.field), worth(e, score)) for e in undominated}
        assert [(e.value(axis.field), worth(e, score)) for e in front] == sorted(places)
        assert all(e in undominated for e in front)


def test_a_front_over_latency_needs_predictions() -> None:
    entries = [Entry("a@1", candidate, TEACHER) for candidate in EVALUATED[:20]]
    with pytest.raises(InvalidInput, match="needs the profile of a device"):
        pareto_front(entries, CostAxis.LATENCY)
    predicted = [e._replace(latency_ms=20.0 - i) for i, e in enumerate(entries)]
    front = pareto_front(predicted, CostAxis.LATENCY)
    assert [e.latency_ms for e in front] == sorted(e.latency_ms or 0 for e in front)
    best = max(predicted, key=lambda e: worth(e, Score.QUALITY))
    assert worth(front[-1], Score.QUALITY) == worth(best, Score.QUALITY)


def two_superlms() -> list[Entry]:
    return [
        Entry(f"{candidate.sub_space}@1", candidate, TEACHER) for candidate in EVALUATED[200:300]
    ]


def test_a_report_has_the_front_of_each_superlm_and_that_over_all() -> None:
    entries = two_superlms()
    report = front_report(entries, CostAxis.BYTES)
    assert (report["x"], report["y"]) == ("bytes", "quality")
    assert list(report["superlms"]) == ["tiny@1", "small@1"]
    for name, rows in report["superlms"].items():
        own = [entry for entry in entries if entry.superlm == name]
        assert rows == [entry.row() for entry in pareto_front(own, CostAxis.BYTES)]
    both = [row for rows in report["superlms"].values() for row in rows]
    assert all(row in both for row in report["overall"])
    assert len(report["overall"]) < len(both)


def test_the_picture_names_its_axes_and_superlms(tmp_path: Path) -> None:
    entries = two_superlms()
    plot_fronts(entries, CostAxis.PARAMS, tmp_path / "front.svg")
    found = " ".join(ElementTree.parse(tmp_path / "front.svg").getroot().itertext())
    content = (tmp_path / "front.svg").read_text()
    for text in ("parameters", "quality", "tiny@1", "small@1", "over all"):
        assert text in found or text in content
    plot_fronts(entries, CostAxis.MACS, tmp_path / "front.png", Score.LOSS)
    assert (tmp_path / "front.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InvalidInput, match=r"\.png or \.svg"):
        plot_fronts(entries, CostAxis.MACS, tmp_path / "front.jpg")


def test_fronts_keep_the_order_of_the_superlms() -> None:
    assert list(fronts(two_superlms()[::-1], CostAxis.MACS)) == ["small@1", "tiny@1"]
