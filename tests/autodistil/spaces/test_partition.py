"""The space below a teacher cut into sub-spaces."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autodistil.errors import InvalidInput
from autodistil.families.architecture import Architecture
from autodistil.spaces.partition import BERT_BASE, PRESETS, partition
from autodistil.spaces.sub_space import HeadPolicy


def test_the_preset_has_three_spaces_of_256_students() -> None:
    spaces = PRESETS["bert-base-uncased"]
    assert [(space.name, space.size) for space in spaces] == [
        ("tiny", 256),
        ("small", 256),
        ("base", 256),
    ]
    assert all(len(set(space.students())) == 256 for space in spaces)


def test_the_preset_has_the_axes_of_the_paper() -> None:
    tiny, small, base = PRESETS["bert-base-uncased"]
    assert (tiny.layers, tiny.hidden) == ((4, 5, 6, 7), (128, 160, 192, 224))
    assert (tiny.ffn_percent, tiny.heads) == ((200, 250, 300, 350), (7, 8, 9, 10))
    assert (small.layers, small.hidden) == ((9, 10, 11, 12), (256, 288, 320, 352))
    assert (small.ffn_percent, small.heads) == ((250, 300, 350, 400), (7, 8, 9, 10))
    assert (base.layers, base.hidden) == ((9, 10, 11, 12), (544, 576, 608, 640))
    assert (base.ffn_percent, base.heads) == ((250, 300, 350, 400), (9, 10, 11, 12))


@pytest.mark.parametrize("policy", HeadPolicy)
def test_fewer_spaces_join_the_neighbours(policy: HeadPolicy) -> None:
    three, two, one = (partition(BERT_BASE, k, policy) for k in (3, 2, 1))
    assert [s.name for s in three] == ["tiny", "small", "base"]
    assert [s.name for s in two] == ["small", "base"]
    assert [s.name for s in one] == ["whole"]
    assert two[1] == three[2]
    for axis in ("layers", "hidden", "ffn_percent", "heads"):
        parts = [getattr(space, axis) for space in three]
        if parts[0]:
            joined = getattr(two[0], axis)
            assert (joined[0], joined[-1]) == (
                min(parts[0][0], parts[1][0]),
                max(parts[0][-1], parts[1][-1]),
            )
            whole = getattr(one[0], axis)
            assert (whole[0], whole[-1]) == (min(p[0] for p in parts), max(p[-1] for p in parts))


def test_stock_students_have_heads_that_fill_the_width() -> None:
    for space in partition(BERT_BASE, head_policy=HeadPolicy.STOCK):
        students = list(space.students())
        assert all(s.stock and s.hidden == s.heads * s.head_width for s in students)
        assert len(students) == space.size


def test_a_narrow_teacher_gets_narrower_heads_until_tiny_has_two_widths() -> None:
    minilm = Architecture(layers=6, hidden=384, heads=12, head_width=32, intermediate=1536)
    assert [s.head_width for s in partition(minilm)] == [32, 32, 32]
    small = Architecture(layers=2, hidden=128, heads=2, head_width=64, intermediate=512)
    assert next((s.head_width, len(s.hidden) >= 2) for s in partition(small)) == (16, True)


@given(
    layers=st.integers(1, 48),
    heads=st.integers(1, 40),
    head_width=st.integers(1, 130),
    intermediate=st.integers(1, 20_000),
    k=st.integers(1, 3),
    policy=st.sampled_from(HeadPolicy),
    narrower=st.sampled_from([None, 1, 2, 4]),
)
@settings(max_examples=400, deadline=None)
def test_any_teacher_is_partitioned_within_its_sizes_or_refused(
    layers: int,
    heads: int,
    head_width: int,
    intermediate: int,
    k: int,
    policy: HeadPolicy,
    narrower: int | None,
) -> None:
    teacher = Architecture(
        layers=layers,
        hidden=heads * head_width,
        heads=heads,
        head_width=head_width,
        intermediate=intermediate,
    )
    try:
        spaces = partition(teacher, k, policy, narrower and max(1, head_width // narrower))
    except InvalidInput:
        return
    assert len(spaces) == k
    for space in spaces:
        largest, smallest = space.largest, space.smallest
        assert largest.layers <= teacher.layers
        assert largest.hidden <= teacher.hidden
        assert largest.attention_width <= teacher.attention_width
        assert largest.intermediate <= teacher.intermediate
        assert largest in space
        assert smallest in space
        assert space.sample(random.Random(layers)) in space


def test_common_teachers_are_never_refused() -> None:
    for layers, hidden, heads in [
        (2, 128, 2),
        (4, 256, 4),
        (4, 312, 12),
        (4, 512, 8),
        (6, 384, 12),
        (6, 768, 12),
        (12, 384, 12),
        (12, 768, 12),
        (24, 1024, 16),
    ]:
        teacher = Architecture(
            layers=layers,
            hidden=hidden,
            heads=heads,
            head_width=hidden // heads,
            intermediate=4 * hidden,
        )
        for k in (1, 2, 3):
            for policy in HeadPolicy:
                assert len(partition(teacher, k, policy)) == k


@pytest.mark.parametrize("k", [0, 4, -1])
def test_another_number_of_spaces_is_refused(k: int) -> None:
    with pytest.raises(InvalidInput, match=f"K = {k}"):
        partition(BERT_BASE, k)


@pytest.mark.parametrize("head_width", [0, -8, 48, 128])
def test_a_head_width_that_does_not_divide_the_teachers_is_refused(head_width: int) -> None:
    with pytest.raises(InvalidInput, match=f"head width of {head_width}"):
        partition(BERT_BASE, head_width=head_width)


def test_the_teacher_policy_keeps_the_teachers_head_width() -> None:
    with pytest.raises(InvalidInput, match="keep the teacher's width"):
        partition(BERT_BASE, head_policy=HeadPolicy.TEACHER, head_width=32)


def test_a_teacher_with_too_many_students_is_refused_as_invalid_input() -> None:
    wide = Architecture(layers=400, hidden=10_000, heads=10_000, head_width=1, intermediate=40_000)
    with pytest.raises(InvalidInput, match="too many for one sub-space"):
        partition(wide, k=1)
