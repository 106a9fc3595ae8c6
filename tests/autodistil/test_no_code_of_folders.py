"""No code of a model's folder is ever run, and `transformers` never asks whether it may."""

import ast
import io
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from autodistil.errors import InvalidInput, UnsupportedTeacher
from autodistil.models.model_folder import load_folder
from autodistil.models.teacher import load_teacher
from tests.factories import edit_json, write_teacher

ROOT = Path(__file__).parents[2]
PACKAGES = (
    *("autodistil", "benchmarks", "cli", "client", "database", "models_store"),
    *("scripts", "service", "worker"),
)
LOADS = ("from_pretrained", "from_config", "pipeline", "get_class_from_dynamic_module")


def loads() -> Iterator[tuple[str, ast.Call]]:
    """Every call that loads a model, a config or a tokenizer, with its place."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call):
                    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                    if name in LOADS:
                        yield f"{path.relative_to(ROOT)}:{node.lineno}", node


def test_every_call_that_loads_says_that_no_code_may_run() -> None:
    found = dict(loads())
    assert len(found) > 8
    for place, call in found.items():
        said = {keyword.arg: keyword.value for keyword in call.keywords}
        value = said.get("trust_remote_code")
        assert isinstance(value, ast.Constant), place
        assert value.value is False, place


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A model of a type of its own, whose code leaves a mark."""
    folder = write_teacher(tmp_path / "own")
    (folder / "own.py").write_text(
        f"from pathlib import Path\nPath({str(tmp_path / 'ran')!r}).touch()\n"
        "from transformers import BertConfig as OwnConfig, BertModel as OwnModel\n"
    )
    classes = {"AutoConfig": "own.OwnConfig", "AutoModel": "own.OwnModel"}
    edit_json(
        folder / "config.json",
        lambda config: {**config, "model_type": "own-bert", "auto_map": classes},
    )
    return folder


@pytest.mark.parametrize("answer", ["", "y\n"])
def test_a_model_of_its_own_type_is_refused_at_once(
    answer: str, own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
    with pytest.raises(UnsupportedTeacher, match="'own-bert'.*custom code.*never run"):
        load_teacher(str(own))
    with pytest.raises(InvalidInput, match="'own-bert'.*custom code.*never run"):
        load_folder(own)
    assert sys.stdin.read() == answer  # nobody asked
    assert not (tmp_path / "ran").exists()


def test_a_known_type_is_loaded_by_the_class_of_transformers(own: Path, tmp_path: Path) -> None:
    edit_json(own / "config.json", lambda config: {**config, "model_type": "bert"})
    assert load_teacher(str(own)).architecture.hidden == 64
    assert type(load_folder(own).model).__module__.startswith("transformers.")
    assert not (tmp_path / "ran").exists()


def test_a_tokenizer_with_code_is_refused_or_loaded_without_it(own: Path, tmp_path: Path) -> None:
    edit_json(own / "config.json", lambda config: {**config, "model_type": "bert"})
    edit_json(
        own / "tokenizer_config.json",
        lambda config: {
            **config,
            "tokenizer_class": "OwnTokenizer",
            "auto_map": {"AutoTokenizer": [None, "own.OwnTokenizer"]},
        },
    )
    try:
        load_teacher(str(own))
    except UnsupportedTeacher as error:
        assert "custom code" in error.detail or "OwnTokenizer" in error.detail
    assert not (tmp_path / "ran").exists()
