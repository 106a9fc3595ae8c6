import json
from pathlib import Path

import pytest

from autodistil.errors import InvalidInput
from autodistil.spaces.sub_space import SubSpace
from cli import partition
from tests.factories import write_corpus, write_embedder


def test_what_is_written_is_what_train_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    teacher = write_embedder(tmp_path / "teacher")
    corpus = write_corpus(tmp_path / "corpus")
    partition.command(str(teacher), [str(corpus)], tmp_path / "spaces", "100,200", 1, True)
    printed = json.loads(capsys.readouterr().out)
    names = [space["name"] for space in printed["spaces"]]
    assert names[0] == "wide"
    assert sorted(path.name for path in (tmp_path / "spaces").iterdir()) == sorted(
        f"{name}.space.json" for name in names
    )
    for space in printed["spaces"]:
        path = tmp_path / "spaces" / f"{space['name']}.space.json"
        assert SubSpace.model_validate_json(path.read_text()).model_dump(mode="json") == space
    assert any(row["on_front"] for row in printed["measured"])


@pytest.mark.parametrize("vocab", ["many", "8000;9000", "0,100", "-5"])
def test_vocabularies_that_are_no_sizes_are_refused(vocab: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="--vocab"):
        partition.command("teacher", ["corpus"], tmp_path, vocab)
