import math

import pytest
from pydantic import ValidationError

from autodistil.evaluation.candidates import Candidate
from autodistil.evaluation.quality import Score, estimate_quality
from autodistil.evaluation.signals import Signals
from autodistil.families.architecture import Architecture
from autodistil.superlm.bundle import open_superlm
from models_store import shipped_bundles
from tests.autodistil.search.brute_force import EVALUATED, STUDENTS


def test_the_quality_of_a_candidate_is_the_estimate_from_its_signals() -> None:
    for candidate in EVALUATED[:50]:
        assert candidate.signals is not None
        assert candidate.quality == estimate_quality(candidate.signals, candidate.cost)
        assert candidate.score(Score.QUALITY) == candidate.quality


def test_more_agreement_with_the_teacher_is_more_quality() -> None:
    worse = EVALUATED[0].model_copy(update={"neighbour_agreement": 0.1})
    better = worse.model_copy(update={"neighbour_agreement": 0.2})
    assert (better.quality or 0) > (worse.quality or 0)


def test_of_two_students_that_agree_alike_the_larger_one_is_better() -> None:
    signals = EVALUATED[0].signals
    assert signals is not None
    small, large = (
        c.cost for c in sorted(EVALUATED, key=lambda c: c.params)[:: len(EVALUATED) - 1]
    )
    assert estimate_quality(signals, large) > estimate_quality(signals, small)


@pytest.mark.parametrize("agreement", [-1.0, 0.0, 1.0])
def test_the_estimate_is_finite_whatever_the_agreement(agreement: float) -> None:
    signals = Signals(
        relation_loss=1.0,
        hidden_relation_loss=1.0,
        similarity_loss=1.0,
        neighbour_agreement=agreement,
        stranger_agreement=agreement,
    )
    assert math.isfinite(estimate_quality(signals, EVALUATED[0].cost))


def test_less_loss_and_more_params_are_better_by_their_scores() -> None:
    candidate = EVALUATED[0]
    worse = candidate.model_copy(update={"similarity_loss": 9.0})
    assert (candidate.score(Score.LOSS) or 0) > (worse.score(Score.LOSS) or 0)
    assert EVALUATED[255].score(Score.PARAMS) == EVALUATED[255].params


@pytest.mark.parametrize(
    "missing", ["similarity_loss", "neighbour_agreement", "stranger_agreement"]
)
def test_a_candidate_without_a_signal_that_all_students_have_has_no_quality(missing: str) -> None:
    candidate = EVALUATED[0].model_copy(update={missing: None})
    assert candidate.signals is candidate.quality is candidate.score(Score.QUALITY) is None
    assert candidate.score(Score.PARAMS) == candidate.params


def test_a_candidate_is_read_back_from_its_row() -> None:
    row = EVALUATED[3].model_dump(mode="json")
    assert {"stock", "quality"} <= set(row)
    assert Candidate.read(row) == EVALUATED[3]
    assert Candidate.read(STUDENTS[3].model_dump()) == STUDENTS[3]
    with pytest.raises(ValidationError):
        Candidate.read({**row, "colour": "red"})


def test_the_loss_is_the_distance_to_the_teachers_vectors_where_there_is_one() -> None:
    plain = EVALUATED[0]
    assert plain.relation_loss is not None
    assert plain.similarity_loss is not None
    assert plain.score(Score.LOSS) == -(plain.relation_loss + plain.similarity_loss)
    embedder = plain.model_copy(
        update={"vector_distance": 0.25, "relation_loss": None, "hidden_relation_loss": None}
    )
    assert embedder.score(Score.LOSS) == -0.25
    closer = embedder.model_copy(update={"neighbour_agreement": 0.9})
    assert (closer.quality or 0) > (embedder.quality or 0)


def test_quality_is_the_share_of_the_score_that_a_shipped_student_kept() -> None:
    """By docs/quality.json: .9883, the mean of its shares on STS-B and on the probes."""
    shipped = {s.spec.name: s for s in map(open_superlm, shipped_bundles())}
    student = Architecture.parse("L4-H384-A12x32-F288")
    (row,) = (c for c in shipped["minilm-l6-wide"].candidates if c.architecture == student)
    assert row.quality == pytest.approx(0.9883, abs=0.01)


@pytest.mark.parametrize(
    ("name", "value"), [("relation_loss", -0.1), ("neighbour_agreement", 1.1), ("params", "many")]
)
def test_a_row_with_impossible_values_is_refused(name: str, value: object) -> None:
    with pytest.raises(ValidationError, match=name):
        Candidate.read({**EVALUATED[0].model_dump(), name: value})
