"""What a spec says about vocabularies, maps, and formats."""

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from autodistil.errors import explain
from autodistil.spaces.spec import SuperLMSpec
from autodistil.superlm.bundle import SuperLM
from tests.factories import EMBEDDER_SPACE


@pytest.mark.parametrize("found", ["autodistil-superlm-1", "autodistil-superlm-2", "x" * 999, 5])
def test_another_format_is_refused_in_one_sentence(found: object) -> None:
    # Nothing else is looked at: of an older format, much else is other, too.
    with pytest.raises(ValidationError) as refused:
        SuperLMSpec.model_validate({"format": found, "mixtures": []})
    assert refused.value.error_count() == 1
    assert explain(refused.value).endswith(
        f"this bundle has the format {str(found)[:50]!r}, this version reads "
        "'autodistil-superlm-3' alone; train the SuperLM anew"
    )


def test_an_embedders_spec_names_a_map_for_every_depth_and_width(
    embedder_superlm: SuperLM,
) -> None:
    spec = embedder_superlm.spec
    assert spec.map_width == 64
    maps = {name: shape for name, shape in spec.stored_shapes.items() if name.startswith("map.")}
    assert maps == {
        f"map.L{layers}-H{hidden}.{part}": shape
        for layers in EMBEDDER_SPACE.layers
        for hidden in EMBEDDER_SPACE.hidden
        for part, shape in (("weight", (64, hidden)), ("bias", (64,)))
    }


def test_students_as_wide_as_their_teacher_have_no_map(embedder_superlm: SuperLM) -> None:
    spec = embedder_superlm.spec
    assert spec.teacher.embedding
    as_wide = spec.teacher.embedding.model_copy(update={"width": 32})
    space = spec.space.model_copy(update={"hidden": (32,)})
    teacher = spec.teacher.model_copy(update={"embedding": as_wide})
    changed = spec.model_copy(update={"teacher": teacher, "space": space})
    assert changed.map_width is None
    assert not any(name.startswith("map.") for name in changed.stored_shapes)
    none = spec.teacher.model_copy(update={"embedding": None})
    assert spec.model_copy(update={"teacher": none}).map_width is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda spec: spec["encoder"].update(vocab_size=119), "must be the largest vocabulary"),
        (lambda spec: spec["space"].update(vocab=[80, 110]), "must be the largest vocabulary"),
        (lambda spec: spec["tokens_per_text"].pop(80), "tokens_per_text must list"),
        (lambda spec: spec["tokens_per_text"].update({100: 1.0}), "tokens_per_text must list"),
        (lambda spec: spec["tokens_per_text"].update({80: 0.0}), "greater than or equal to 0.5"),
        (lambda spec: spec["tokens_per_text"].update({80: 1e9}), "less than or equal to 100"),
        (lambda spec: spec["encoder"].update(pad_token_id=100), "must be in every vocabulary"),
        (lambda spec: spec["teacher"]["embedding"].update(width=0), "embedding.width"),
        (lambda spec: spec["teacher"]["embedding"].update(pooling="median"), "embedding.pooling"),
        (lambda spec: spec["teacher"].pop("embedding"), "embedding: Field required"),
    ],
)
def test_a_spec_that_contradicts_itself_is_refused(
    change: Callable[[dict[str, Any]], object], message: str, embedder_superlm: SuperLM
) -> None:
    content = embedder_superlm.spec.model_dump()
    assert SuperLMSpec.model_validate(content) == embedder_superlm.spec
    change(content)
    with pytest.raises(ValidationError) as refused:
        SuperLMSpec.model_validate(content)
    assert message in explain(refused.value)


def test_small_vocabularies_cost_less_memory_and_more_multiplications(
    embedder_superlm: SuperLM,
) -> None:
    small, large = (
        EMBEDDER_SPACE.largest.model_copy(update={"vocab": vocab}) for vocab in (80, 120)
    )
    less, more = (embedder_superlm.spec.cost_of(student) for student in (small, large))
    assert less.params == more.params - 40 * 32
    assert less.size_bytes < more.size_bytes
    assert less.macs > more.macs
