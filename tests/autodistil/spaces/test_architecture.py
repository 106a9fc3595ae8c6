import random
import re
import time

import pytest
from pydantic import ValidationError

from autodistil.errors import InvalidInput, explain
from autodistil.families.architecture import Architecture
from autodistil.spaces.cost import cost
from autodistil.spaces.partition import BERT_BASE_ENCODER, PRESETS, partition
from autodistil.spaces.sub_space import HeadPolicy, SubSpace
from tests.factories import EMBEDDER_SPACE, FREE_SPACE, STOCK_SPACE


def student(layers: int, hidden: int, ratio: float, heads: int) -> Architecture:
    return Architecture(
        layers=layers,
        hidden=hidden,
        heads=heads,
        head_width=64,
        intermediate=round(hidden * ratio),
    )


@pytest.mark.parametrize(
    ("sizes", "space", "paper", "exact"),
    [
        ((12, 544, 3.0, 9), "base", ("50.1M", "4.40G"), ("53.6M", "4.88G")),
        ((11, 352, 4.0, 8), "small", ("26.1M", "2.02G"), ("29.9M", "2.60G")),
        ((11, 352, 4.0, 10), "small", ("26.8M", "2.13G"), ("31.9M", "2.90G")),
        ((7, 160, 3.5, 10), "tiny", ("6.88M", "0.27G"), ("9.1M", "0.67G")),
    ],
)
def test_the_students_of_the_paper_have_their_published_and_their_exact_cost(
    sizes: tuple[int, int, float, int],
    space: str,
    paper: tuple[str, str],
    exact: tuple[str, str],
) -> None:
    chosen = student(*sizes)
    assert chosen in {s.name: s for s in PRESETS["bert-base-uncased"]}[space]
    found = cost(chosen, BERT_BASE_ENCODER, teacher_heads=12)
    # The paper rounds, but for 6,887,600 parameters, which it cuts to 6.88M.
    decimals = 2 if paper[0] == "6.88M" else 1
    published = float(paper[0][:-1])
    assert published in (
        round(found.paper_params / 1e6, decimals),
        found.paper_params // 10 ** (6 - decimals) / 10**decimals,
    )
    assert f"{found.paper_macs / 1e9:.2f}G" == paper[1]
    assert (f"{found.params / 1e6:.1f}M", f"{found.macs / 1e9:.2f}G") == exact


LARGE: dict[str, dict[str, object]] = {
    "10,001 students are too many for one sub-space .10,000": {
        "layers": (1,), "hidden": range(1, 10_002), "ffn_percent": (100,)
    },
    "49,999 students": {"layers": (1,), "hidden": range(1, 50_000), "ffn_percent": (100,)},
    "students are too many": {
        "layers": (1,), "hidden": range(1, 50_000), "ffn_percent": range(100, 1 << 20, 100)
    },
    "1,000 students with 500,500 layers in all .* .250,000": {
        "layers": range(1, 1001), "hidden": (1,), "ffn_percent": (100,)
    },
    "layers.0: Input should be less than or equal to 1000": {
        "layers": [1 << 20] * 1_000_000, "hidden": (1,), "ffn_percent": (100,)
    },
    "layers.1000: Input should be less than or equal to 1000": {
        "layers": range(1, 1_000_000), "hidden": (1,), "ffn_percent": (100,)
    },
    "hidden.0: Input should be less": {
        "layers": (1,), "hidden": [1 << 21] * 1_000_000, "ffn_percent": (100,)
    },
}  # fmt: skip


@pytest.mark.parametrize("message", LARGE)
def test_huge_spaces_are_refused_at_once(message: str) -> None:
    axes = {axis: tuple(values) for axis, values in LARGE[message].items()}  # type: ignore[call-overload]
    begin = time.process_time()
    with pytest.raises(ValidationError) as refused:
        SubSpace.model_validate(
            {"name": "huge", "head_policy": HeadPolicy.STOCK, "head_width": 1, **axes}
        )
    assert time.process_time() - begin < 1
    assert re.search(message, explain(refused.value))


def test_the_largest_space_is_one_whose_costs_are_soon_known() -> None:
    large = Architecture(layers=24, hidden=1024, heads=16, head_width=64, intermediate=4096)
    assert partition(large, 1, HeadPolicy.TEACHER)[0].size == 7344
    deep = SubSpace(
        name="deep",
        head_policy=HeadPolicy.STOCK,
        head_width=1,
        layers=(999, 1000),
        hidden=(1, 2),
        ffn_percent=(100,),
    )
    assert deep.largest.layers == 1000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layers": ()}, "layers must not be empty"),
        ({"hidden": (32, 16)}, "hidden must be increasing"),
        ({"ffn_percent": (200, 200)}, "ffn_percent must be increasing"),
        ({"heads": (2,)}, "heads must be left out"),
        ({"hidden": (16, 20)}, "multiple of the head width 8"),
        ({"ffn_percent": (201,)}, "must be whole"),
        ({"layers": (0, 1)}, "greater than 0"),
        ({"layers": (1, 1001)}, "less than or equal to 1000"),
        ({"hidden": (16, 1 << 21)}, "less than or equal to 1048576"),
        ({"layers": (True,)}, "valid integer"),
        ({"name": "Tiny Space"}, "String should match"),
        ({"depth": 3}, "Extra inputs"),
        ({"head_policy": HeadPolicy.TEACHER}, "heads must not be empty"),
        ({"vocab": (200, 100)}, "vocab must be increasing"),
        ({"vocab": (100, 100)}, "vocab must be increasing"),
        ({"vocab": (0,)}, "greater than 0"),
        ({"vocab": range(1, 10_001)}, "80,000 students are too many"),
    ],
)
def test_a_space_that_makes_no_sense_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        SubSpace.model_validate({**STOCK_SPACE.model_dump(), **change})


@pytest.mark.parametrize(
    "space", [STOCK_SPACE, FREE_SPACE, EMBEDDER_SPACE, *PRESETS["bert-base-uncased"]]
)
def test_a_space_holds_its_students_and_no_others(space: SubSpace) -> None:
    students = list(space.students())
    assert len(students) == len(set(students)) == space.size
    assert all(s in space for s in students)
    assert (students[0], students[-1]) == (space.smallest, space.largest)
    rng = random.Random(1)
    drawn = {space.sample(rng) for _ in range(60 * len(students))}
    assert drawn == set(students)
    for axis in ("layers", "hidden", "heads", "head_width", "intermediate"):
        changed = space.largest.model_copy(update={axis: getattr(space.largest, axis) + 1})
        assert changed not in space
    changed = space.largest.model_copy(update={"vocab": (space.largest.vocab or 0) + 1})
    assert changed not in space


def test_a_space_survives_json() -> None:
    for space in (STOCK_SPACE, FREE_SPACE, EMBEDDER_SPACE):
        assert SubSpace.model_validate_json(space.model_dump_json()) == space


def test_a_name_is_read_back() -> None:
    for space in (STOCK_SPACE, FREE_SPACE, EMBEDDER_SPACE):
        for architecture in space.students():
            assert Architecture.parse(architecture.name) == architecture
    for name in ("L4-H128-A4x32-F448", "L4-H128-A4x32-F448-V8000"):
        assert Architecture.parse(name).name == name
    assert Architecture.parse(name).vocab == 8000


def test_students_of_a_vocabulary_axis_have_a_vocabulary_and_others_have_none() -> None:
    assert {student.vocab for student in EMBEDDER_SPACE.students()} == {80, 120}
    assert (EMBEDDER_SPACE.smallest.vocab, EMBEDDER_SPACE.largest.vocab) == (80, 120)
    assert {student.vocab for student in STOCK_SPACE.students()} == {None}
    none = EMBEDDER_SPACE.largest.model_copy(update={"vocab": None})
    assert none not in EMBEDDER_SPACE


@pytest.mark.parametrize(
    "name",
    [
        "",
        "L4",
        "L4-H128-A4x32-F448 ",
        "L0-H128-A4x32-F448",
        "L1001-H128-A4x32-F448",
        f"L4-H{1 << 21}-A4x32-F448",
        "L4-H-1-A4x3-F4",
        "L" + "9" * 5000 + "-H128-A4x32-F448",
        "L٤-H128-A4x32-F448",
        "L4-H128-A4x32-F448-V",
        "L4-H128-A4x32-F448-V0",
        f"L4-H128-A4x32-F448-V{1 << 21}",
    ],
)
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="is not an architecture"):
        Architecture.parse(name)


def test_architectures_are_values() -> None:
    first, second = student(4, 128, 2.0, 7), student(4, 128, 2.0, 7)
    assert (first == second, hash(first) == hash(second)) == (True, True)
    with pytest.raises(ValidationError):
        first.layers = 5  # type: ignore[misc]
    assert not first.stock
