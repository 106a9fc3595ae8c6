from pathlib import Path

import pytest

from autodistil.errors import InvalidInput
from autodistil.training.loss_curve import (
    LossOfStudent,
    LossRow,
    read_losses,
    thin_losses,
    write_losses,
)


def curve(steps: int) -> list[LossRow]:
    return [
        LossRow(
            step=step,
            tokens=10 * step,
            learning_rate=0.1,
            students=(
                LossOfStudent(name="largest", losses={"vector": step, "cosine": 2 * step}),
                LossOfStudent(name=f"drawn-{step}", losses={"vector": 0, "cosine": 0}),
            ),
        )
        for step in range(1, steps + 1)
    ]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_losses(tmp_path / "losses.jsonl", curve(7))
    assert read_losses(tmp_path / "losses.jsonl") == curve(7)


def test_a_short_curve_is_left_as_it_is() -> None:
    assert thin_losses(curve(5), most=5) == curve(5)
    assert thin_losses([]) == []


def test_a_long_curve_keeps_its_ends_and_its_mean() -> None:
    rows = thin_losses(curve(1000), most=30)
    assert len(rows) == 30
    assert rows[-1].step == 1000
    assert rows[-1].tokens == 10_000
    largest = [row.students[0] for row in rows]
    assert {student.name for student in largest} == {"largest"}
    assert sum(student.losses["vector"] for student in largest) / 30 == pytest.approx(
        500.5, rel=0.01
    )
    assert [student.losses["vector"] for student in largest] == sorted(
        s.losses["vector"] for s in largest
    )


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{}", 1),
        ('{"step": 1, "tokens": 1, "learning_rate": NaN, "students": []}', 1),
        (curve(1)[0].model_dump_json() + "\nhello", 2),
        (curve(1)[0].model_dump_json()[:-9], 1),
    ],
)
def test_what_is_no_curve_is_refused_by_its_line(text: str, line: int, tmp_path: Path) -> None:
    (tmp_path / "losses.jsonl").write_text(text)
    with pytest.raises(InvalidInput, match=f"line {line}"):
        read_losses(tmp_path / "losses.jsonl")


def test_a_missing_curve_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_losses(tmp_path / "losses.jsonl")
