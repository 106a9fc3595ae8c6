import json
import os
import pickle
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from safetensors.torch import save_file as save_torch

from autodistil.errors import InvalidBundle, InvalidInput
from autodistil.evaluation.quality import Score
from autodistil.evaluation.signals import Signals
from autodistil.search.budget import Budget
from autodistil.search.fronts import CostAxis, pareto_front
from autodistil.search.search import search
from autodistil.superlm.bundle import (
    CANDIDATES,
    CARD,
    SPEC,
    TOKENIZER,
    WEIGHTS,
    SuperLM,
    copy_bundle,
    open_superlm,
)
from autodistil.superlm.entries import entries_of
from tests.factories import STOCK_SPACE, edit_json, rehash

Damage = Callable[[Path], object]
NORM = "encoder.layer.0.output.LayerNorm.weight"


def refused(folder: Path, message: str) -> None:
    with pytest.raises(InvalidBundle, match=message):
        open_superlm(folder)


def edit_spec(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the spec in place."""

    def apply(spec: dict[str, Any]) -> dict[str, Any]:
        change(spec)
        return spec

    edit_json(folder / SPEC, apply)


def edit_candidates(folder: Path, change: Callable[[list[dict[str, Any]]], object]) -> None:
    """Change the candidate table in place, and its hash with it."""

    def apply(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        change(rows)
        return rows

    edit_json(folder / CANDIDATES, apply)
    rehash(folder)


def edit_weights(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the tensors in place, and their hash with them."""
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / WEIGHTS)
    rehash(folder)


def test_a_bundle_opens_with_what_was_written(stock_superlm: SuperLM) -> None:
    superlm = open_superlm(stock_superlm.folder)
    assert superlm == stock_superlm
    assert superlm.spec.reference == "stock@1"
    assert superlm.spec.space == STOCK_SPACE
    assert {c.architecture for c in superlm.candidates} == set(STOCK_SPACE.students())
    assert all(c.signals is not None for c in superlm.candidates)
    assert superlm.weights_path.is_file()
    assert (superlm.tokenizer_path / "tokenizer.json").is_file()
    assert superlm.spec.teacher_cost.params > max(c.params for c in superlm.candidates)


def test_a_bundle_of_the_first_format_opens_with_the_losses_that_it_has(
    stock_copy: SuperLM,
) -> None:
    def to_first_format(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            for name in set(Signals.model_fields) - {"relation_loss", "similarity_loss"}:
                del row[name]
            del row["quality"]

    folder = stock_copy.folder
    (folder / CARD).unlink()
    edit_spec(folder, lambda spec: spec["files"].pop(CARD))
    edit_candidates(folder, to_first_format)
    refused(folder, "lacks held-out signals")
    edit_spec(folder, lambda spec: spec.update(format="autodistil-superlm-1"))
    opened = open_superlm(folder)
    entries, budget = entries_of([opened]), Budget(macs="100%")
    with pytest.raises(InvalidInput, match="candidates of stock@1 have no quality"):
        search(entries, budget)
    of_loss = search(entries, budget, score=Score.LOSS).best.candidate
    assert of_loss.quality is None
    same = next(c for c in stock_copy.candidates if c.architecture == of_loss.architecture)
    assert same.score(Score.LOSS) == max(c.score(Score.LOSS) or 0 for c in stock_copy.candidates)


def test_the_readme_of_a_bundle_holds_its_front(stock_superlm: SuperLM) -> None:
    text = (stock_superlm.folder / CARD).read_text()
    assert text.startswith("# stock@1\n")
    assert "8 students of `tiny-teacher`" in text
    table = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    rows = [dict(zip(table[0], cells, strict=True)) for cells in table[1:]]
    entries = entries_of([stock_superlm])
    for axis, name in ((CostAxis.MACS, "macs"), (CostAxis.PARAMS, "params")):
        listed = [row for row in rows if name in row["cheapest of its quality by"].split(", ")]
        expected = pareto_front(entries, axis)
        assert {(row["MACs"], row["quality"]) for row in listed} == {
            (f"{e.candidate.macs:,}", f"{e.candidate.quality:.4f}") for e in expected
        }
    assert len(rows) < len(entries)


def test_no_bundle_folder_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / "nothing", "no bundle folder")
    refused(tmp_path, f"{SPEC} is missing")


# --- weights ---------------------------------------------------------------------------------


@pytest.mark.parametrize("keep", [0, 4, 100, 5_000, -1])
def test_truncated_weights_are_refused(stock_copy: SuperLM, keep: int) -> None:
    path = stock_copy.weights_path
    path.write_bytes(path.read_bytes()[:keep])
    refused(stock_copy.folder, f"{WEIGHTS} is not a whole safetensors file")
    rehash(stock_copy.folder)
    refused(stock_copy.folder, f"{WEIGHTS} is not a whole safetensors file")


def test_a_tensor_of_another_shape_is_refused(stock_copy: SuperLM) -> None:
    edit_weights(stock_copy.folder, lambda t: t.update({NORM: t[NORM][:-1].copy()}))
    refused(stock_copy.folder, rf"{NORM} has the shape \[31\], the spec asks for \[32\]")


def test_a_missing_tensor_is_refused(stock_copy: SuperLM) -> None:
    edit_weights(stock_copy.folder, lambda t: t.pop(NORM))
    refused(stock_copy.folder, rf"lacks the tensor {NORM} \(1 missing")


def test_an_extra_tensor_is_refused(stock_copy: SuperLM) -> None:
    edit_weights(stock_copy.folder, lambda t: t.update(extra=np.zeros(3, np.float16)))
    refused(stock_copy.folder, "holds the unknown tensor extra")


@pytest.mark.parametrize("dtype", [np.float64, np.int8, np.int64, np.bool_])
def test_a_tensor_of_another_type_is_refused(stock_copy: SuperLM, dtype: type) -> None:
    edit_weights(stock_copy.folder, lambda t: t.update({NORM: t[NORM].astype(dtype)}))
    refused(stock_copy.folder, f"{NORM} is .*, not F16 or F32")


def test_bfloat16_weights_are_refused(stock_copy: SuperLM) -> None:
    tensors = load_file(stock_copy.weights_path)
    save_torch(
        {name: torch.from_numpy(tensor).bfloat16() for name, tensor in tensors.items()},
        stock_copy.weights_path,
    )
    rehash(stock_copy.folder)
    refused(stock_copy.folder, "is BF16, not F16 or F32")


def test_fp32_weights_are_accepted(stock_copy: SuperLM) -> None:
    edit_weights(
        stock_copy.folder, lambda t: t.update({n: v.astype(np.float32) for n, v in t.items()})
    )
    assert open_superlm(stock_copy.folder).candidates == stock_copy.candidates


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(stock_copy: SuperLM, value: float) -> None:
    edit_weights(stock_copy.folder, lambda t: t[NORM].__setitem__(3, value))
    refused(stock_copy.folder, f"{NORM} holds values that are not finite")


class Exploit:
    """Unpickling it would leave a file behind."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.target,))


def test_a_pickle_in_place_of_safetensors_is_refused_and_not_run(
    stock_copy: SuperLM, tmp_path: Path
) -> None:
    stock_copy.weights_path.write_bytes(pickle.dumps(Exploit(tmp_path / "ran")))
    rehash(stock_copy.folder)
    refused(stock_copy.folder, "pickles are never read")
    torch.save({"a": torch.zeros(2)}, stock_copy.weights_path)
    rehash(stock_copy.folder)
    refused(stock_copy.folder, "pickles are never read")
    assert not (tmp_path / "ran").exists()


# --- files -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "modeling.py", "tokenizer/x.json", ".hidden"]
)
def test_an_extra_file_is_refused(stock_copy: SuperLM, name: str) -> None:
    (stock_copy.folder / name).write_bytes(b"{}")
    refused(stock_copy.folder, f"{name} is not listed")
    edit_spec(
        stock_copy.folder,
        lambda spec: spec["files"].update({name: {"sha256": "0" * 64, "size_bytes": 2}}),
    )
    refused(stock_copy.folder, f"lists files no bundle has: {name}")


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", SPEC, "tokenizer/../x"])
def test_a_listed_path_outside_the_bundle_is_refused(stock_copy: SuperLM, name: str) -> None:
    edit_spec(
        stock_copy.folder,
        lambda spec: spec["files"].update({name: {"sha256": "0" * 64, "size_bytes": 2}}),
    )
    refused(stock_copy.folder, "lists files no bundle has")


@pytest.mark.parametrize("name", [WEIGHTS, CANDIDATES, "tokenizer/tokenizer.json"])
def test_a_missing_file_is_refused(stock_copy: SuperLM, name: str) -> None:
    (stock_copy.folder / name).unlink()
    refused(stock_copy.folder, f"{name} is missing")
    edit_spec(stock_copy.folder, lambda spec: spec["files"].pop(name))
    refused(stock_copy.folder, f"does not list {name}")


@pytest.mark.parametrize(
    "name", [SPEC, WEIGHTS, CANDIDATES, "tokenizer/tokenizer.json", "tokenizer"]
)
def test_a_link_is_refused_even_to_the_right_content(
    stock_copy: SuperLM, tmp_path: Path, name: str
) -> None:
    shutil.move(stock_copy.folder / name, tmp_path / "elsewhere")
    (stock_copy.folder / name).symlink_to(tmp_path / "elsewhere")
    refused(stock_copy.folder, f"{name} is (missing, or is not a plain|a link)")


def test_a_special_file_is_refused(stock_copy: SuperLM) -> None:
    os.mkfifo(stock_copy.folder / "pipe")
    refused(stock_copy.folder, "pipe is a link or a special file")


def test_a_folder_in_place_of_a_file_is_refused(stock_copy: SuperLM) -> None:
    for name in (CANDIDATES, SPEC):
        (stock_copy.folder / name).unlink()
        (stock_copy.folder / name).mkdir()
        refused(stock_copy.folder, f"{name} is missing")


def test_altered_bytes_are_refused_by_their_hash(stock_copy: SuperLM) -> None:
    content = bytearray(stock_copy.weights_path.read_bytes())
    content[-7] ^= 1
    stock_copy.weights_path.write_bytes(content)
    refused(stock_copy.folder, f"{WEIGHTS} was altered: its sha256 differs")


def test_bytes_put_behind_a_file_are_refused(stock_copy: SuperLM) -> None:
    with (stock_copy.folder / CANDIDATES).open("a") as file:
        file.write("\n")
    refused(stock_copy.folder, f"{CANDIDATES} has .* bytes, {SPEC} says")


# --- candidates ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows.pop(), "does not list each student"),
        (lambda rows: rows.append(rows[0]), "does not list each student"),
        (lambda rows: rows.__setitem__(0, rows[1]), "does not list each student"),
        (lambda rows: rows[0].update(hidden=24), "does not list each student"),
        (lambda rows: rows[2].update(params=5), "wrong cost of L2-H32-A4x8-F64"),
        (lambda rows: rows[2].update(sequence_length=64), "wrong cost"),
        (lambda rows: rows[2].update(paper_macs=1), "wrong cost"),
        (lambda rows: rows[0].update(relation_loss=float("inf")), "relation_loss: .*finite"),
        (lambda rows: rows[0].update(similarity_loss=float("nan")), "similarity_loss"),
        (lambda rows: rows[0].update(relation_loss=-1), "relation_loss: .*greater"),
        (lambda rows: rows[0].update(relation_loss=None), "lacks held-out signals"),
        (lambda rows: rows[0].update(similarity_loss=None), "lacks held-out signals"),
        (lambda rows: rows[0].pop("stranger_agreement"), "lacks held-out signals"),
        (lambda rows: rows[0].update(neighbour_agreement=1.01), "neighbour_agreement: .*less"),
        (lambda rows: rows[0].update(sub_space="base"), "another sub-space"),
        (lambda rows: rows[0].update(layers=1001), "layers"),
        (lambda rows: rows[0].update(note="hi"), "0.note: Extra inputs"),
        (lambda rows: rows[0].pop("params"), "0.params: Field required"),
        (lambda rows: rows[0].update(hidden=0), "hidden"),
        (lambda rows: rows[0].update(hidden=10**30), "hidden"),
        (lambda rows: rows[0].update(params=10**400), "params|cost"),
        (lambda rows: rows.__setitem__(0, []), "no list of candidate rows|valid"),
        (lambda rows: rows.clear(), "does not list each student"),
    ],
)
def test_a_wrong_candidate_table_is_refused(
    stock_copy: SuperLM, change: Callable[[list[dict[str, Any]]], object], message: str
) -> None:
    edit_candidates(stock_copy.folder, change)
    refused(stock_copy.folder, f"{CANDIDATES}.*({message})")


@pytest.mark.parametrize(
    "content",
    ["", "{}", "null", "5", '"x"', "[1, 2]", "[null]", "[", "[" * 100_000, "\xff", '{"a": 1}',
     "[" + "9" * 5000 + "]", "NaN"],
)  # fmt: skip
def test_candidates_that_are_no_table_are_refused(stock_copy: SuperLM, content: str) -> None:
    (stock_copy.folder / CANDIDATES).write_bytes(content.encode("latin-1"))
    rehash(stock_copy.folder)
    refused(stock_copy.folder, CANDIDATES)


# --- spec ------------------------------------------------------------------------------------

SHA = "0" * 64


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda spec: spec.update(extra=1), "extra: Extra inputs"),
        (lambda spec: spec["encoder"].update(dropout=0.1), "encoder.dropout: Extra inputs"),
        (lambda spec: spec["teacher"].update(url="x"), "teacher.url: Extra inputs"),
        (lambda spec: spec.pop("space"), "space: Field required"),
        (lambda spec: spec.update(format="autodistil-superlm-3"), "format"),
        (lambda spec: spec.update(name="../x"), "name"),
        (lambda spec: spec.update(name=""), "name"),
        (lambda spec: spec.update(version=0), "version"),
        (lambda spec: spec.update(version=10**400), "version"),
        (lambda spec: spec["kept_layers"].update({"2": [0, 1]}), "must keep the last layer"),
        (lambda spec: spec["kept_layers"].update({"2": [2, 0]}), "depth 2 must be 2 rising"),
        (lambda spec: spec["kept_layers"].update({"2": [2]}), "depth 2 must be 2 rising"),
        (lambda spec: spec["kept_layers"].update({"2": [2, 2]}), "depth 2 must be 2 rising"),
        (lambda spec: spec["kept_layers"].update({"2": [0, 7]}), "must keep the last layer"),
        (lambda spec: spec["kept_layers"].update({"2": [-1, 2]}), "kept_layers"),
        (lambda spec: spec["kept_layers"].update({"3": [0, 1, 3]}), "must keep the last layer"),
        (lambda spec: spec["kept_layers"].update({"3": [-1, 1, 2]}), "kept_layers"),
        (lambda spec: spec["kept_layers"].pop("2"), "must list the depths"),
        (lambda spec: spec["kept_layers"].update({"4": [0, 1, 2, 3]}), "must list the depths"),
        (lambda spec: spec["kept_layers"].update({"x": [0]}), "kept_layers"),
        (lambda spec: spec.update(teacher_layers=[0, 3]), "teacher_layers must name 3"),
        (lambda spec: spec["teacher"]["architecture"].update(layers=2), "more layers than"),
        (lambda spec: spec["teacher"]["architecture"].update(hidden=24), "more hidden than"),
        (lambda spec: spec["space"].update(hidden=[16, 33]), "space"),
        (lambda spec: spec["space"].update(hidden=[16, 40]), "spec asks for"),
        (lambda spec: spec["space"].update(layers=[2, 1000]), "more layers than its teacher"),
        (lambda spec: spec["space"].update(layers=[2, 1001]), "less than or equal to 1000"),
        (lambda spec: spec["space"].update(layers=[2, 1 << 20]), "less than or equal to 1000"),
        (
            lambda spec: spec["teacher"]["architecture"].update(layers=1001),
            "teacher.architecture.layers: .* 1000",
        ),
        (lambda spec: spec["space"].update(hidden=[16, 10**400]), "space.hidden"),
        (lambda spec: spec["space"].update(hidden=[16, -16]), "space.hidden"),
        (lambda spec: spec["space"].update(hidden=["16", "32"]), "space.hidden"),
        (lambda spec: spec["space"].update(hidden=[16.0, 32.5]), "space.hidden"),
        (lambda spec: spec["space"].update(hidden=[]), "hidden must not be empty"),
        (lambda spec: spec["space"].update(layers=list(range(2, 200_000))), "equal to 1000"),
        (lambda spec: spec["space"].update(layers=list(range(2, 1001))), "too many"),
        (lambda spec: spec["encoder"].update(vocab_size=1 << 20), "spec asks for"),
        (lambda spec: spec["encoder"].update(vocab_size=10**30), "encoder.vocab_size"),
        (lambda spec: spec["encoder"].update(hidden_act="exec"), "encoder.hidden_act"),
        (lambda spec: spec["encoder"].update(layer_norm_eps=1e999), "layer_norm_eps"),
        (lambda spec: spec["encoder"].update(pad_token_id=-1), "pad_token_id"),
        (lambda spec: spec.update(pooling="max"), "pooling"),
        (lambda spec: spec["teacher"].update(name="x" * 501), "teacher.name"),
        (lambda spec: spec["teacher"].update(sha256="x"), "teacher.sha256"),
        (lambda spec: spec["provenance"].update(tokens_seen=-1), "tokens_seen"),
        (lambda spec: spec["provenance"]["settings"].update(a={"b": {"c": 1}}), "settings"),
        (lambda spec: spec["files"].update({WEIGHTS: {"sha256": SHA}}), "size_bytes"),
        (lambda spec: spec["files"].update({WEIGHTS: {"sha256": SHA, "size_bytes": -1}}), "files"),
        (lambda spec: spec.update(files={}), "not listed"),
    ],
)  # fmt: skip
def test_a_wrong_spec_is_refused(
    stock_copy: SuperLM, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    edit_spec(stock_copy.folder, change)
    refused(stock_copy.folder, message)


def test_kept_layers_that_are_not_nested_are_refused(stock_copy: SuperLM) -> None:
    def change(spec: dict[str, Any]) -> None:
        spec["space"]["layers"] = [2, 3, 4]
        spec["teacher_layers"] = [0, 1, 2, 3]
        spec["kept_layers"] = {"2": [0, 3], "3": [1, 2, 3], "4": [0, 1, 2, 3]}

    edit_spec(stock_copy.folder, change)
    refused(stock_copy.folder, "the layers of a depth must be among those of the next")


@pytest.mark.parametrize(
    "content",
    ["", "x", "null", "[]", "5", "{}", "{", "[" * 100_000, '{"a":' * 100_000, "\xff\xfe",
     '{"name": "\\ud800"}', "9" * 5000, '{"version": 1e400}'],
)  # fmt: skip
def test_a_spec_that_is_no_spec_is_refused(stock_copy: SuperLM, content: str) -> None:
    (stock_copy.folder / SPEC).write_bytes(content.encode("latin-1"))
    refused(stock_copy.folder, SPEC)


def test_a_huge_spec_is_refused_unread(stock_copy: SuperLM) -> None:
    with (stock_copy.folder / SPEC).open("r+b") as file:
        file.truncate((64 << 20) + 1)
    refused(stock_copy.folder, f"{SPEC} is larger than")


# --- tokenizer -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["tokenizer_config.json", "tokenizer.json"])
def test_a_tokenizer_that_asks_for_code_is_refused(stock_copy: SuperLM, name: str) -> None:
    edit_json(
        stock_copy.tokenizer_path / name,
        lambda content: {**content, "auto_map": {"AutoTokenizer": ["evil.Tokenizer", None]}},
    )
    rehash(stock_copy.folder)
    refused(stock_copy.folder, rf"{name} asks to run code \(auto_map\)")


@pytest.mark.parametrize("content", ["", "{", "\xff", "[" * 100_000])
def test_a_tokenizer_file_that_is_no_json_is_refused(stock_copy: SuperLM, content: str) -> None:
    path = stock_copy.tokenizer_path / "tokenizer_config.json"
    path.write_bytes(content.encode("latin-1"))
    rehash(stock_copy.folder)
    refused(stock_copy.folder, f"{TOKENIZER}/tokenizer_config.json is not JSON")


# --- random damage ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [WEIGHTS, CANDIDATES, "tokenizer/tokenizer.json", "tokenizer/tokenizer_config.json", SPEC],
)
@pytest.mark.parametrize("vouched", [False, True])
def test_random_damage_is_never_another_error(
    stock_copy: SuperLM, name: str, vouched: bool
) -> None:
    """Flipped and cut bytes are an `InvalidBundle`, whether or not the spec vouches for them.

    Damage can leave a well-formed bundle with another hash: when the spec vouches for the damaged
    file, or when it hit free text of the spec itself.
    """
    rng = random.Random(f"{name} {vouched}")
    path, spec = stock_copy.folder / name, stock_copy.folder / SPEC
    whole, whole_spec = path.read_bytes(), spec.read_bytes()
    refusals = 0
    for _ in range(60):
        content = bytearray(whole)
        kind = rng.choice(["flip", "flips", "cut", "zeros", "insert"])
        place = rng.randrange(min(len(whole), rng.choice([64, 4096, len(whole)])))
        if kind == "flip":
            content[place] ^= 1 << rng.randrange(8)
        elif kind == "flips":
            for _ in range(20):
                content[rng.randrange(len(content))] = rng.randrange(256)
        elif kind == "cut":
            del content[place:]
        elif kind == "zeros":
            content[place : place + 16] = bytes(16)
        else:
            content[place:place] = rng.randbytes(8)
        path.write_bytes(content)
        if vouched and name != SPEC:
            rehash(stock_copy.folder)
        try:
            opened = open_superlm(stock_copy.folder)
        except InvalidBundle as error:
            refusals += 1
            assert error.detail
        else:
            assert vouched or name == SPEC
            assert opened.sha256 != stock_copy.sha256 or content == whole
        path.write_bytes(whole)
        spec.write_bytes(whole_spec)
    assert refusals >= (10 if vouched else 60 if name != SPEC else 40)
    assert open_superlm(stock_copy.folder) == stock_copy


# --- copies ----------------------------------------------------------------------------------


def test_a_copy_is_whole_and_equal(stock_superlm: SuperLM, tmp_path: Path) -> None:
    copied = copy_bundle(stock_superlm, tmp_path / "new" / "copy")
    assert copied == open_superlm(tmp_path / "new" / "copy")
    assert (copied.sha256, copied.spec) == (stock_superlm.sha256, stock_superlm.spec)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["copy"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / WEIGHTS).write_bytes(b"x"),
        lambda folder: (folder / WEIGHTS).unlink(),
        lambda folder: shutil.rmtree(folder),
        lambda folder: (folder / CANDIDATES).write_text("[]"),
        lambda folder: (folder / SPEC).write_text("{}"),
    ],
)
def test_a_failed_copy_leaves_nothing(stock_copy: SuperLM, tmp_path: Path, damage: Damage) -> None:
    damage(stock_copy.folder)
    with pytest.raises(InvalidBundle):
        copy_bundle(stock_copy, tmp_path / "target" / "copy")
    assert not (tmp_path / "target").exists() or not list((tmp_path / "target").iterdir())


def test_a_copy_of_a_file_turned_link_is_refused(stock_copy: SuperLM, tmp_path: Path) -> None:
    shutil.move(stock_copy.folder / CANDIDATES, tmp_path / "elsewhere")
    (stock_copy.folder / CANDIDATES).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InvalidBundle, match="link"):
        copy_bundle(stock_copy, tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_a_copy_never_replaces_what_is_there(stock_superlm: SuperLM, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(FileExistsError):
        copy_bundle(stock_superlm, tmp_path / "there")
    assert list(tmp_path.iterdir()) == [tmp_path / "there"]


def test_opening_a_bundle_needs_no_torch(stock_superlm: SuperLM) -> None:
    import subprocess
    import sys

    code = (
        "import sys; from pathlib import Path; from autodistil.superlm.bundle import open_superlm;"
        "from autodistil.search.search import search;"
        "open_superlm(Path(sys.argv[1])); assert 'torch' not in sys.modules;"
        "assert 'transformers' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(stock_superlm.folder)], check=True)


def test_the_spec_is_plain_json(stock_superlm: SuperLM) -> None:
    spec = json.loads((stock_superlm.folder / SPEC).read_text())
    assert spec["kept_layers"]["3"] == [0, 1, 2]
    assert spec["teacher"]["name"] == "tiny-teacher"
