import random
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from autodistil.downstream.classifier import Classifier
from autodistil.downstream.finetuning import FinetuningResult, Recipe, finetune
from autodistil.downstream.task_data import Examples
from autodistil.downstream.tasks import TASKS
from autodistil.errors import InvalidInput, TrainingDiverged
from autodistil.models.model_folder import load_folder
from autodistil.spaces.embedding import Pooling
from autodistil.superlm.bundle import SuperLM
from tests.exports import export
from tests.factories import sentence, write_teacher

RECIPE = Recipe(learning_rate=3e-3, batch_size=8, epochs=4, warmup=0.1, max_length=16)


def marked(count: int, seed: int) -> Examples:
    """Sentences that are 1 if they hold the word `zo`."""
    rng = random.Random(seed)
    labels = [rng.randrange(2) for _ in range(count)]
    texts = [("zo zo zo " if label else "ba ba ba ") + sentence(rng) for label in labels]
    return Examples(texts, None, [float(label) for label in labels])


def alike(count: int, seed: int) -> Examples:
    """Pairs that score 5 if the second sentence holds `zo`, else 0."""
    examples = marked(count, seed)
    return Examples(examples.first, examples.first, [5 * label for label in examples.labels])


TRAIN, DEV = marked(96, 0), marked(32, 1)


@pytest.fixture(scope="module")
def result(teacher_folder: Path) -> FinetuningResult:
    return finetune(teacher_folder, TASKS["sst2"], TRAIN, DEV, RECIPE, seed=0)


def test_a_learnable_task_is_learnt(result: FinetuningResult) -> None:
    assert result.score > 0.9
    assert len(result.curve) == 4
    scores = [epoch.metrics["accuracy"] for epoch in result.curve]
    assert result.score == max(scores) == scores[result.best_epoch - 1]
    assert result.curve[-1].loss < result.curve[0].loss


def test_a_seed_decides_everything(result: FinetuningResult, teacher_folder: Path) -> None:
    before = torch.random.get_rng_state()
    again = finetune(teacher_folder, TASKS["sst2"], TRAIN, DEV, RECIPE, seed=0)
    other = finetune(teacher_folder, TASKS["sst2"], TRAIN, DEV, RECIPE, seed=1)
    assert again.curve == result.curve
    assert other.curve != result.curve
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_score_of_pairs_is_learnt_by_a_mean_pooled_student(
    precision: str, stock_superlm: SuperLM, tmp_path: Path
) -> None:
    export(stock_superlm, tmp_path, -1)
    recipe = RECIPE.model_copy(
        update={"precision": precision, "learning_rate": 3e-3, "epochs": 16, "dropout": 0.0}
    )
    result = finetune(tmp_path, TASKS["stsb"], alike(192, 0), alike(32, 1), recipe, seed=0)
    assert set(result.curve[0].metrics) == {"spearman", "pearson"}
    assert result.curve[result.best_epoch - 1].metrics["pearson"] > 0.8


@pytest.mark.parametrize("task", ["stsb", "mrpc"])
def test_pairs_encoded_apart_are_compared(task: str, teacher_folder: Path) -> None:
    def same(count: int, seed: int) -> Examples:
        """Pairs of equal sentences score most, of unlike ones least."""
        examples, most = marked(count, seed), 1.0 if TASKS[task].labels else 5.0
        second = [
            text if label else ("ba ba ba" if "zo" in text else "zo zo zo")
            for text, label in zip(examples.first, examples.labels, strict=True)
        ]
        return Examples(examples.first, second, [most * label for label in examples.labels])

    recipe = RECIPE.model_copy(update={"pair_encoder": "bi", "epochs": 8, "dropout": 0.0})
    result = finetune(teacher_folder, TASKS[task], same(96, 0), same(32, 1), recipe, seed=0)
    assert result.score > 0.8


def test_a_cosine_of_two_sentence_vectors_is_the_first_guess(teacher_folder: Path) -> None:
    loaded = load_folder(teacher_folder)
    model = Classifier(loaded, 1, dropout=0.0, apart=True).eval()
    first, second = ({"input_ids": torch.tensor([ids])} for ids in ([2, 70, 71], [2, 80, 3]))
    mask = torch.ones(1, 3, dtype=torch.long)
    first["attention_mask"] = second["attention_mask"] = mask
    u, v = (loaded.model(**given).pooler_output for given in (first, second))
    expected = 5 * torch.nn.functional.cosine_similarity(u, v)[:, None]
    assert torch.allclose(model("fp32", first, second), expected, atol=1e-5)


def test_a_student_of_free_head_width_is_fine_tuned(free_superlm: SuperLM, tmp_path: Path) -> None:
    export(free_superlm, tmp_path, -1)
    assert finetune(tmp_path, TASKS["cola"], TRAIN, DEV, RECIPE, seed=0).score > 0.8


def test_patience_ends_a_run_that_no_longer_gets_better(teacher_folder: Path) -> None:
    recipe = RECIPE.model_copy(update={"epochs": 12, "patience": 2})
    steps: list[tuple[int, int]] = []
    result = finetune(
        teacher_folder, TASKS["sst2"], TRAIN, DEV, recipe, 0, lambda *step: steps.append(step)
    )
    assert len(result.curve) == result.best_epoch + 2 < 12
    assert steps == [(i, 12 * 12) for i in range(1, 12 * len(result.curve) + 1)]


def test_a_cap_trains_on_so_many_examples(teacher_folder: Path) -> None:
    recipe = RECIPE.model_copy(update={"epochs": 1, "max_examples": 20})
    steps: list[int] = []
    finetune(teacher_folder, TASKS["sst2"], TRAIN, DEV, recipe, 0, lambda *s: steps.append(s[0]))
    assert steps == [1, 2, 3]


def test_a_diverging_run_says_so(teacher_folder: Path) -> None:
    recipe = RECIPE.model_copy(update={"learning_rate": 1e38, "warmup": 0.0})
    with pytest.raises(TrainingDiverged, match="Lower the learning rate"):
        finetune(teacher_folder, TASKS["stsb"], alike(32, 0), alike(32, 1), recipe, seed=0)


def test_the_sentence_vector_is_the_pooler_of_the_first_token_or_as_the_folder_pools(
    tmp_path: Path,
) -> None:
    inputs = {
        "input_ids": torch.tensor([[2, 70, 71, 0]]),
        "attention_mask": torch.tensor([[1, 1, 1, 0]]),
    }
    for pooling in (None, *Pooling):
        path = write_teacher(tmp_path / str(pooling))
        if pooling:
            (path / "1_Pooling").mkdir()
            (path / "1_Pooling" / "config.json").write_text(f'{{"pooling_mode": "{pooling}"}}')
        loaded = load_folder(path)
        assert loaded.sentence.listed is (pooling is not None)
        model = Classifier(loaded, 2, dropout=0.0).eval()
        output = loaded.model(**inputs)
        vector = {
            None: output.pooler_output,
            Pooling.MEAN: output.last_hidden_state[:, :3].mean(1),
            Pooling.CLS: output.last_hidden_state[:, 0],
            Pooling.MAX: output.last_hidden_state[:, :3].amax(1),
            Pooling.MEAN_SQRT_LEN: output.last_hidden_state[:, :3].sum(1) / 3**0.5,
            Pooling.LAST: output.last_hidden_state[:, 2],
        }[pooling]
        assert torch.allclose(model("fp32", inputs), model._head(vector), atol=1e-5)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no model that transformers can load"):
        finetune(tmp_path, TASKS["sst2"], TRAIN, DEV, RECIPE, seed=0)


@pytest.mark.parametrize(
    "bad", [{"learning_rate": float("nan")}, {"epochs": 0}, {"precision": "fp8"}, {"seed": 1}]
)
def test_a_bad_recipe_is_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Recipe.model_validate(bad)
