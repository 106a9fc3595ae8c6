"""Specs that make no sense or mean harm."""

from collections.abc import Callable
from typing import Any

import pytest

from autodistil.superlm.bundle import SPEC, WEIGHTS, SuperLM
from tests.autodistil.superlm.bundle_edits import edit_spec, refused

SHA = "0" * 64


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda spec: spec.update(extra=1), "extra: Extra inputs"),
        (lambda spec: spec["encoder"].update(dropout=0.1), "encoder.bert.dropout: Extra inputs"),
        (lambda spec: spec["teacher"].update(url="x"), "teacher.url: Extra inputs"),
        (lambda spec: spec.pop("space"), "space: Field required"),
        (lambda spec: spec.update(format="autodistil-superlm-4"), "this bundle has the format"),
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
        (lambda spec: spec["encoder"].update(vocab_size=10**30), "encoder.bert.vocab_size"),
        (lambda spec: spec["encoder"].update(hidden_act="exec"), "encoder.bert.hidden_act"),
        (lambda spec: spec["encoder"].update(layer_norm_eps=1e999), "layer_norm_eps"),
        (lambda spec: spec["encoder"].update(pad_token_id=-1), "pad_token_id"),
        (lambda spec: spec["encoder"].update(pad_token_id=10**6), "less than the vocab_size"),
        (lambda spec: spec["teacher"].update(name="x\n---\nlicense: mit"), "teacher.name"),
        (lambda spec: spec.update(pooling="mean"), "pooling: Extra inputs"),
        (lambda spec: spec["teacher"].pop("embedding"), "teacher.embedding: Field required"),
        (lambda spec: spec["space"].update(vocab=[50, 60]), "vocab_size must be the largest"),
        (lambda spec: spec.update(tokens_per_text={"50": 1.0}), "tokens_per_text must list"),
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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda spec: spec["teacher"]["embedding"].update(pooling="median"), "embedding.pooling"),
        (lambda spec: spec["teacher"]["embedding"].update(width=0), "embedding.width"),
        (lambda spec: spec["teacher"]["embedding"].update(width=48), "spec asks for"),
        (lambda spec: spec["teacher"]["embedding"].update(url="x"), "Extra inputs"),
        (lambda spec: spec["teacher"]["embedding"].update(prompts={"q": 1}), "embedding.prompts"),
        (lambda spec: spec["teacher"].update(embedding=None), "unknown tensor map."),
        (lambda spec: spec["space"].update(vocab=[80]), "vocab_size must be the largest"),
        (lambda spec: spec["space"].update(vocab=[120, 80]), "vocab must be increasing"),
        (lambda spec: spec["tokens_per_text"].pop("80"), "tokens_per_text must list"),
        (lambda spec: spec["tokens_per_text"].update({"80": 0}), "tokens_per_text"),
        (lambda spec: spec["tokens_per_text"].update({"80": 1e999}), "tokens_per_text"),
        (lambda spec: spec["encoder"].update(pad_token_id=90), "must be in every vocabulary"),
    ],
)  # fmt: skip
def test_a_wrong_spec_of_an_embedders_students_is_refused(
    embedder_copy: SuperLM, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    edit_spec(embedder_copy.folder, change)
    refused(embedder_copy.folder, message)


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
