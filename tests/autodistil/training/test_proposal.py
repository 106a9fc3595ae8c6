from itertools import pairwise

import pytest

from autodistil.families.architecture import Architecture
from autodistil.models.teacher import Teacher
from autodistil.text.vocabulary_texts import Texts
from autodistil.training.proposal import NARROW, WIDE, Proposal, propose_spaces
from autodistil.training.start import calibration_batches


@pytest.fixture(scope="module")
def proposal(embedder: Teacher, embedder_texts: Texts) -> Proposal:
    batches = calibration_batches(embedder_texts.own.train, 0, 1)
    return propose_spaces(embedder, batches, (80, 120, 200))


def test_the_wide_sub_space_is_as_wide_as_the_teacher_with_half_of_its_neurons_at_most(
    proposal: Proposal, embedder: Teacher
) -> None:
    wide = proposal.spaces[0]
    assert wide.name == WIDE
    assert wide.hidden == (embedder.architecture.hidden,)
    assert max(wide.layers) <= embedder.architecture.layers
    assert wide.largest.intermediate <= embedder.architecture.intermediate // 2
    assert wide.vocab == (80, 120, 200)


def test_what_is_proposed_was_measured_and_lies_on_a_front(proposal: Proposal) -> None:
    for space in proposal.spaces:
        grid = [m for m in proposal.measured if m.sub_space == space.name]
        chosen = [m for m in grid if m.on_front] or grid
        assert {m.architecture.layers for m in chosen} == set(space.layers)
        assert {m.architecture.hidden for m in chosen} == set(space.hidden)
        assert all(not space.vocab or m.architecture.vocab is None for m in chosen)


def test_on_the_front_more_agreement_costs_more(proposal: Proposal) -> None:
    ordered = sorted(proposal.measured, key=lambda m: (m.cost.macs, -m.agreement))
    front, best = [], -2.0
    for row in ordered:
        if row.agreement > best:
            front.append(row)
            best = row.agreement
    assert all(row.on_front for row in front)
    assert all(a.cost.macs < b.cost.macs for a, b in pairwise(front))


def test_an_uncut_grid_point_agrees_more_than_one_of_a_single_layer(proposal: Proposal) -> None:
    wide = {m.architecture: m.agreement for m in proposal.measured if m.sub_space == WIDE}
    by_depth = sorted(wide, key=lambda a: (a.layers, a.intermediate))
    assert wide[by_depth[-1]] > wide[by_depth[0]]


def test_a_teacher_of_one_head_width_has_no_narrow_students(embedder: Teacher) -> None:
    from autodistil.training import proposal

    lone = Architecture(layers=4, hidden=16, heads=1, head_width=16, intermediate=64)
    assert proposal._narrow_grid(lone, 1) == []
    (grid,) = proposal._narrow_grid(embedder.architecture, 1)
    assert proposal._narrow_grid(embedder.architecture, 2)[0].layers == (2,)
    assert grid.name == NARROW
    assert max(grid.hidden) < embedder.architecture.hidden
