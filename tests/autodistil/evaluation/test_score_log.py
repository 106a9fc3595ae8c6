from pathlib import Path

import pytest

from autodistil.errors import InvalidInput
from autodistil.evaluation.score_log import ScoreLog
from autodistil.evaluation.signals import Signals

SIGNALS = Signals(
    relation_loss=0.1,
    hidden_relation_loss=0.2,
    similarity_loss=0.3,
    neighbour_agreement=0.4,
    stranger_agreement=-0.5,
)


def write(path: Path, identity: str = "a", scores: int = 3) -> bytes:
    with ScoreLog(path, identity) as log:
        for batch in range(scores):
            log.add("L1", batch, SIGNALS)
            assert log.get("L1", batch) == SIGNALS
    return path.read_bytes()


def test_scores_are_found_again_and_added_to(tmp_path: Path) -> None:
    path = tmp_path / "new" / "scores.jsonl"
    content = write(path)
    with ScoreLog(path, "a") as log:
        assert [log.get("L1", batch) for batch in range(4)] == [SIGNALS] * 3 + [None]
        assert log.get("L2", 0) is None
        log.add("L1", 3, SIGNALS)
    assert path.read_bytes().startswith(content)
    with ScoreLog(path, "a") as log:
        assert log.get("L1", 3) == SIGNALS


def test_a_score_is_on_disk_before_the_file_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "scores.jsonl"
    with ScoreLog(path, "a") as log:
        log.add("L1", 0, SIGNALS)
        assert path.read_bytes().count(b"\n") == 2


def test_wherever_a_kill_cuts_the_file_the_whole_lines_before_it_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "scores.jsonl"
    content = write(path)
    header = content.find(b"\n") + 1
    for cut in range(len(content)):
        path.write_bytes(content[:cut])
        with ScoreLog(path, "a") as log:
            known = [log.get("L1", batch) == SIGNALS for batch in range(3)]
            assert sum(known) == (content[header:cut].count(b"\n") if cut >= header else 0)
            for batch in range(sum(known), 3):
                log.add("L1", batch, SIGNALS)
        assert path.read_bytes() == content


@pytest.mark.parametrize("damage", [b"{}\n", b"\xff\xfe\n", b"null\n", b'{"student": 1}\n'])
def test_what_follows_a_damaged_line_is_dropped(damage: bytes, tmp_path: Path) -> None:
    path = tmp_path / "scores.jsonl"
    first, second, *rest = write(path).splitlines(keepends=True)
    path.write_bytes(first + second + damage + b"".join(rest))
    with ScoreLog(path, "a") as log:
        assert [log.get("L1", batch) for batch in range(3)] == [SIGNALS, None, None]
    assert path.read_bytes() == first + second


def test_a_file_about_something_else_is_started_anew(tmp_path: Path) -> None:
    path = tmp_path / "scores.jsonl"
    write(path)
    assert write(path, "b", 0).count(b"\n") == 1
    path.write_text("a picture, say")
    assert write(path, "b", 0).count(b"\n") == 1


def test_without_a_file_scores_are_kept_in_memory() -> None:
    with ScoreLog(None, "a") as log:
        log.add("L1", 0, SIGNALS)
        assert log.get("L1", 0) == SIGNALS


def test_a_log_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "scores.jsonl", tmp_path):
        with pytest.raises(InvalidInput, match="cannot be written"):
            ScoreLog(path, "a")
