"""What a teacher is called."""

import json
from pathlib import Path

import pytest

from autodistil.models.teacher import load_teacher
from autodistil.models.teacher_name import TeacherName, find_name
from tests.factories import edit_json, write_teacher

FRONT = "---\nlicense: mit\n---\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "model").mkdir()
    return tmp_path / "model"


def test_of_the_hub_it_is_the_id() -> None:
    assert find_name("owner/some-model") == TeacherName("owner/some-model", "its id on the hub")


def test_in_the_cache_of_the_hub_it_is_the_id(tmp_path: Path) -> None:
    folder = tmp_path / "models--owner--some-model" / "snapshots" / "0123abcd"
    folder.mkdir(parents=True)
    assert find_name(str(folder)) == TeacherName("owner/some-model", "the cache of the hub")


@pytest.mark.parametrize(
    ("card", "name"),
    [
        ("# all-things-v2\nMore.\n", "all-things-v2"),
        (f"{FRONT}\n# owner/things\n", "owner/things"),
        (f"{FRONT}Words.\n\n# things-v2\n## More\n", "things-v2"),
        ("---\nmodel-index:\n- name: things-small\n  results: []\n---\n# Other-v1\n",
         "things-small"),
        ("---\nmodel-index:\n  - name: 'owner/things'\n---\n", "owner/things"),
    ],
)  # fmt: skip
def test_the_card_says_it(card: str, name: str, folder: Path) -> None:
    (folder / "README.md").write_text(card)
    (folder / "config.json").write_text(json.dumps({"_name_or_path": "owner/base-model"}))
    assert find_name(str(folder)) == TeacherName(name, "its card, README.md")


@pytest.mark.parametrize(
    "card",
    [
        "# Usage\n",
        "# {MODEL_NAME}\n",
        "# SentenceTransformer based on owner/base\n",
        f"{FRONT}No heading.\n",
        "## owner/things\n",
        "# ../../etc/passwd\n",
        "---\nmodel-index:\n- name: SentenceTransformer based on owner/base\n---\n",
        "",
    ],
)
def test_else_the_config_says_it(card: str, folder: Path) -> None:
    (folder / "README.md").write_text(card)
    (folder / "config.json").write_text(json.dumps({"_name_or_path": "owner/base-model"}))
    assert find_name(str(folder)) == TeacherName("owner/base-model", "its config.json")


@pytest.mark.parametrize(
    "known",
    ["", "/home/me/model", "./out", "runs/2/model", "checkpoint-500", "owner/output", None, 5,
     "a name", "x" * 200],
)  # fmt: skip
def test_else_it_is_the_folders(known: object, folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"_name_or_path": known}))
    assert find_name(str(folder)) == TeacherName("model", "its folder")


def test_a_name_that_is_a_folder_here_is_no_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "config.json").write_text(json.dumps({"_name_or_path": "runs/best-one"}))
    monkeypatch.chdir(folder)
    (folder / "runs" / "best-one").mkdir(parents=True)
    assert find_name(str(folder)).name == "model"


@pytest.mark.parametrize("content", ["", "{", "[]", '"x"'])
def test_a_damaged_config_says_nothing(content: str, folder: Path) -> None:
    (folder / "config.json").write_text(content)
    assert find_name(str(folder)).source == "its folder"


def test_a_teacher_carries_its_name_and_where_it_is_from(tmp_path: Path) -> None:
    folder = write_teacher(tmp_path / "somewhere")
    teacher = load_teacher(str(folder))
    assert (teacher.name, teacher.named_by) == ("somewhere", "its folder")
    edit_json(folder / "config.json", lambda config: {**config, "_name_or_path": "owner/known"})
    teacher = load_teacher(str(folder))
    assert (teacher.name, teacher.named_by) == ("owner/known", "its config.json")
