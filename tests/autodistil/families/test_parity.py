"""Every family, students of every kind: the slice is the elastic forward is the exported folder."""

from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from onnxruntime.tools.symbolic_shape_infer import SymbolicShapeInference
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

from autodistil.errors import InvalidInput
from autodistil.evaluation.packed import PackedBatch
from autodistil.evaluation.shared_forward import SharedForward, network_of
from autodistil.extraction.export import model_config
from autodistil.extraction.onnx_graph import ONNX_FILE, onnx_inputs, write_onnx
from autodistil.extraction.onnx_runtime import check_onnx_parity
from autodistil.extraction.parity import check_parity
from autodistil.models.elastic import ElasticEncoder
from autodistil.models.model_folder import load_folder, read_facts
from autodistil.models.own_models import student_class
from autodistil.models.teacher import Teacher, load_teacher
from autodistil.spaces.cost import exact_macs
from autodistil.spaces.sub_space import HeadPolicy, SubSpace
from autodistil.superlm.bundle import SuperLM
from autodistil.superlm.slicing import load_elastic, slice_student
from autodistil.text.corpus import Batch, tokenize_corpus
from autodistil.text.text_files import TextFiles
from autodistil.training.settings import StartSettings, TrainingSettings
from autodistil.training.start import calibration_batches, cut_superlm, teacher_encoder
from tests.exports import export
from tests.factories import make_bundle, whole_texts, write_corpus
from tests.family_teachers import TEACHERS, write_family_teacher

SPACES = {
    "stock": SubSpace(
        name="stock",
        head_policy=HeadPolicy.STOCK,
        head_width=16,
        layers=(2, 4),
        hidden=(32, 48, 64),
        ffn_percent=(50, 200),
    ),
    "own": SubSpace(
        name="own",
        head_policy=HeadPolicy.TEACHER,
        head_width=16,
        layers=(2, 3),
        hidden=(40, 64),
        ffn_percent=(100,),
        heads=(1, 3),
    ),
}
SETTINGS = TrainingSettings(
    tokens=0, lengths=(16,), length_weights=(1.0,), start=StartSettings(calibration_batches=2)
)


@pytest.fixture(scope="module", params=TEACHERS)
def teacher(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Teacher:
    folder = tmp_path_factory.mktemp("teacher")
    return load_teacher(str(write_family_teacher(folder, request.param)))


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("text"))


@pytest.fixture(scope="module", params=SPACES)
def superlm(
    request: pytest.FixtureRequest,
    teacher: Teacher,
    text: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> SuperLM:
    folder = tmp_path_factory.mktemp("superlm")
    corpus = tokenize_corpus(TextFiles(text), teacher.tokenizer, folder / "cache")
    texts = whole_texts(corpus, teacher)
    return make_bundle(teacher, SPACES[request.param], texts, folder, "family", SETTINGS)


def padded(teacher: Teacher) -> Batch:
    """Random tokens, the padding token among them as `transformers` pads."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(4, teacher.encoder.vocab_size, (3, 30), generator=generator)
    mask = torch.ones_like(ids)
    mask[1, 20:] = mask[2, 3:] = 0
    return Batch(ids.masked_fill(mask == 0, teacher.encoder.pad_token_id), mask)


@torch.inference_mode()
def test_the_elastic_forward_of_the_teacher_is_the_teacher(teacher: Teacher) -> None:
    batch = padded(teacher)
    encoder = teacher_encoder(teacher)
    found = encoder(batch.input_ids, batch.attention_mask, teacher.architecture).hidden
    model = _model(teacher)
    wanted = model(batch.input_ids, attention_mask=batch.attention_mask).last_hidden_state
    kept = batch.attention_mask.bool()
    torch.testing.assert_close(found[kept], wanted[kept], rtol=0, atol=1e-5)


def _model(teacher: Teacher) -> Any:
    config = model_config(teacher.architecture, teacher.encoder)
    kind = student_class(teacher.encoder, teacher.architecture)
    config = {key: value for key, value in config.items() if key != "model_type"}
    model = kind(kind.config_class(**config)).eval()
    model.load_state_dict(teacher.tensors)
    return model


def test_slice_elastic_forward_and_folder_agree(superlm: SuperLM, tmp_path: Path) -> None:
    reference = load_elastic(superlm)
    for index in (0, len(superlm.candidates) // 2, -1):
        candidate = superlm.candidates[index]
        folder = tmp_path / candidate.architecture.name
        export(superlm, folder, superlm.candidates.index(candidate))
        parity = check_parity(superlm, candidate.architecture, folder, reference)
        assert parity.max_abs_difference <= 1e-5
        facts = read_facts(folder)
        assert (facts.macs, facts.params) == (candidate.macs, candidate.params)
        loaded = load_folder(folder).model
        assert candidate.params == sum(p.numel() for p in loaded.parameters())
        assert candidate.size_bytes == (folder / "model.safetensors").stat().st_size


def test_macs_are_those_of_an_independent_counter(superlm: SuperLM, tmp_path: Path) -> None:
    for candidate in (superlm.candidates[0], superlm.candidates[-1]):
        folder = tmp_path / candidate.architecture.name
        export(superlm, folder, superlm.candidates.index(candidate))
        model: Any = load_folder(folder).model
        model.set_attn_implementation("eager")  # a fused kernel hides its products
        counter = FlopCounterMode(display=False)
        ids = torch.full((1, 64), 5)
        with torch.inference_mode(), counter:
            model(ids, attention_mask=torch.ones_like(ids))
        found = counter.get_flop_counts()["Global"]
        total = sum(found.values()) // 2
        encoder = superlm.spec.encoder_of(candidate.architecture)
        outside = 0  # the pooler, and the map of narrow embeddings
        if encoder.pooler is not None:
            outside += candidate.hidden**2
        if (projection := encoder.embeddings.projection) is not None:
            assert isinstance(projection.into, int)
            outside += 64 * candidate.hidden * projection.into
        gated = encoder.block(0).gate is not None
        assert total - outside == exact_macs(candidate.architecture, 64, gated)
        assert candidate.macs == exact_macs(candidate.architecture, 128, gated)


def test_the_shared_evaluation_runs_every_student_as_the_elastic_forward(
    superlm: SuperLM, teacher: Teacher
) -> None:
    encoder, batch = load_elastic(superlm), padded(teacher)
    packed = PackedBatch.of(batch)
    networks = {
        network_of(c.architecture, superlm.spec.kept_layers): c.architecture
        for c in superlm.candidates
    }
    seen = 0
    for hidden in {network.hidden for network in networks}:
        own = {n.route: a for n, a in networks.items() if n.hidden == hidden}
        width = next(iter(own.values())).head_width
        for path, last in SharedForward(encoder, hidden, width).run(packed, own):
            wanted = encoder(batch.input_ids, batch.attention_mask, own[path]).hidden
            rows = wanted[packed.order][batch.attention_mask.bool()[packed.order]]
            torch.testing.assert_close(last.hidden, rows, rtol=0, atol=2e-5)
            seen += 1
    assert seen == len(superlm.candidates)


def test_onnx_computes_the_same_or_is_refused(superlm: SuperLM, tmp_path: Path) -> None:
    reference = load_elastic(superlm)
    for candidate in (superlm.candidates[0], superlm.candidates[-1]):
        architecture = candidate.architecture
        tensors = slice_student(superlm, architecture)
        if not superlm.spec.encoder.has_onnx_graph:
            with pytest.raises(InvalidInput, match="ONNX"):
                write_onnx(architecture, superlm.spec.encoder, tensors, tmp_path / ONNX_FILE)
            continue
        write_onnx(architecture, superlm.spec.encoder, tensors, tmp_path / ONNX_FILE)
        check_onnx_parity(superlm, architecture, tmp_path, reference)
        # What quantizers and optimizers run first; it raises where a shape cannot be told.
        whole = SymbolicShapeInference.infer_shapes(onnx.load(tmp_path / ONNX_FILE))
        assert {given.name for given in whole.graph.input} == set(onnx_inputs(superlm.spec.encoder))


def test_the_whole_space_uncut_is_the_teacher(teacher: Teacher, text: Path, tmp_path: Path) -> None:
    """Channels, heads and neurons in another order compute what they did."""
    sizes = teacher.architecture
    space = SubSpace(
        name="whole",
        head_policy=HeadPolicy.STOCK,
        head_width=sizes.head_width,
        layers=(sizes.layers,),
        hidden=(48, sizes.hidden),
        ffn_percent=(200,),
    )
    corpus = tokenize_corpus(TextFiles(text), teacher.tokenizer, tmp_path / "cache")
    settings = SETTINGS.model_copy(update={"start": StartSettings(least_squares=False)})
    superlm = make_bundle(teacher, space, whole_texts(corpus, teacher), tmp_path, "whole", settings)
    batches = calibration_batches(corpus.train, 0, 2)
    start = cut_superlm(teacher, space, batches, settings.start)
    assert superlm.spec.teacher_layers == start.teacher_layers == tuple(range(sizes.layers))
    encoder = ElasticEncoder(start.tensors, start.encoder, start.kept_layers).eval()
    batch = padded(teacher)
    with torch.inference_mode():
        whole = teacher_encoder(teacher)
        wanted = whole(batch.input_ids, batch.attention_mask, sizes).hidden[..., start.channels]
        found = encoder(batch.input_ids, batch.attention_mask, space.largest).hidden
    kept = batch.attention_mask.bool()
    torch.testing.assert_close(found[kept], wanted[kept], rtol=0, atol=1e-4)


def test_students_with_classes_of_their_own_load_by_every_auto_class(
    superlm: SuperLM, tmp_path: Path
) -> None:
    if superlm.spec.space.head_policy is HeadPolicy.STOCK:
        autos: list[Any] = [AutoModel, AutoModelForSequenceClassification]
        allowed = False
    else:
        autos = [
            AutoModel,
            AutoModelForSequenceClassification,
            AutoModelForTokenClassification,
            AutoModelForQuestionAnswering,
            AutoModelForMaskedLM,
        ]
        allowed = True
    export(superlm, tmp_path, 0)
    plain = load_folder(tmp_path).model
    ids = torch.tensor([[5, 6, 7]])
    with torch.inference_mode():
        wanted = plain.eval()(ids)[0]
        for auto in autos:
            model = auto.from_pretrained(tmp_path, trust_remote_code=allowed).eval()
            base = getattr(model, model.base_model_prefix, model)
            torch.testing.assert_close(base(ids)[0], wanted, rtol=0, atol=1e-5)


def test_depths_that_a_family_cannot_have_are_refused(teacher: Teacher, text: Path) -> None:
    corpus = tokenize_corpus(TextFiles(text), teacher.tokenizer, text.parent / "cache")
    batches = calibration_batches(corpus.train, 0, 1)
    space = SPACES["stock"].model_copy(update={"layers": (1, 2)})
    if teacher.encoder.least_layers == 1:
        assert cut_superlm(teacher, space, batches, SETTINGS.start).kept_layers[1] == (1,)
    else:
        with pytest.raises(InvalidInput, match="have 2 layers at least"):
            cut_superlm(teacher, space, batches, SETTINGS.start)
    width = teacher.encoder.embeddings.words.width
    if isinstance(width, int):
        with pytest.raises(InvalidInput, match=f"cannot be {width} wide"):
            teacher.encoder.check_width(width)
