import random
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from autodistil.downstream.score_picture import plot_scores
from autodistil.downstream.scores import ModelScores, Role, ScoredModel, Summary
from autodistil.errors import InvalidInput
from autodistil.training.loss_curve import LossOfStudent, LossRow
from autodistil.training.loss_picture import plot_losses

PNG = b"\x89PNG\r\n\x1a\n"


def model(name: str, role: Role, macs: int | None, **means: float) -> ModelScores:
    scored = ScoredModel(name=name, role=role, sha256=name, macs=macs, params=macs)
    tasks = {task: Summary(mean=mean, std=0.01, seeds=3) for task, mean in means.items()}
    average = sum(means.values()) / len(means)
    return ModelScores(model=scored, tasks=tasks, probes=None, average=average)


ROWS = [
    model("teacher", Role.REFERENCE, 10**9, rte=0.7, cola=0.5, mrpc=0.9),
    model("small", Role.STUDENT, 10**7, rte=0.6, cola=0.1, mrpc=0.8),
    model("large", Role.STUDENT, 10**8, rte=0.65, cola=0.3, mrpc=0.85),
    model("other", Role.BASELINE, 10**8, rte=0.63, cola=0.0, mrpc=0.82),
    model("unknown", Role.BASELINE, None, rte=0.63, cola=0.0, mrpc=0.82),
]


def texts(path: Path) -> str:
    """The comments of an SVG: matplotlib writes every text there before its outlines."""
    ElementTree.parse(path)
    return path.read_text()


def test_scores_are_drawn_as_png_and_svg(tmp_path: Path) -> None:
    plot_scores(ROWS, tmp_path / "new" / "scores.png")
    assert (tmp_path / "new" / "scores.png").read_bytes().startswith(PNG)
    plot_scores(ROWS, tmp_path / "scores.svg")
    drawn = texts(tmp_path / "scores.svg")
    for text in ("rte", "cola", "mrpc", "average", "teacher", "small", "large", "other"):
        assert f"<!-- {text} -->" in drawn
    assert "<!-- unknown -->" not in drawn


def test_one_task_is_one_panel(tmp_path: Path) -> None:
    plot_scores([model("a", Role.STUDENT, 10**6, rte=0.5)], tmp_path / "one.svg")
    assert "<!-- average -->" not in texts(tmp_path / "one.svg")


def test_nothing_to_draw_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="Nothing to draw"):
        plot_scores([ROWS[0], ROWS[-1]], tmp_path / "scores.png")
    with pytest.raises(InvalidInput, match="no losses yet"):
        plot_losses([], tmp_path / "losses.png")


def test_other_formats_are_refused(tmp_path: Path) -> None:
    for draw in (lambda path: plot_scores(ROWS, path), lambda path: plot_losses([], path)):
        with pytest.raises(InvalidInput, match=r"\.png or \.svg"):
            draw(tmp_path / "picture.jpeg")


def rows(steps: int) -> list[LossRow]:
    rng = random.Random(0)
    return [
        LossRow(
            step=step,
            tokens=100 * step,
            learning_rate=1e-3,
            students=tuple(
                LossOfStudent(name=name, losses={"vector": 1 / step, "cosine": 2 / step})
                for name in ("big", "least", f"drawn-{rng.randrange(9)}")
            ),
        )
        for step in range(1, steps + 1)
    ]


@pytest.mark.parametrize("steps", [1, 300])
def test_losses_are_drawn_per_extreme_and_for_the_drawn_students_together(
    steps: int, tmp_path: Path
) -> None:
    plot_losses(rows(steps), tmp_path / "losses.svg")
    drawn = texts(tmp_path / "losses.svg")
    assert "<!-- big -->" in drawn
    assert "<!-- least -->" in drawn
    assert ("<!-- random students -->" in drawn) == (steps > 1)
    assert "<!-- vector loss -->" in drawn
    assert "<!-- cosine loss -->" in drawn
    plot_losses(rows(steps), tmp_path / "losses.png")
    assert (tmp_path / "losses.png").read_bytes().startswith(PNG)


def test_the_same_scores_give_the_same_svg(tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg"):
        plot_scores(ROWS, tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
