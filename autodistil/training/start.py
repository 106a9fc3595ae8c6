"""The start of a SuperLM: cut out of the teacher, most important parts first, and corrected."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from autodistil.errors import InvalidInput
from autodistil.families.encoder import EncoderConfig
from autodistil.families.registry import parse_encoder
from autodistil.files import replacing
from autodistil.models.cutting import cut
from autodistil.models.elastic import ElasticEncoder, KeptLayers
from autodistil.models.teacher import Teacher
from autodistil.spaces.embedding import SentenceEmbedding
from autodistil.spaces.sub_space import SubSpace
from autodistil.text.corpus import Batch, TokenizedText
from autodistil.training.importance import measure_importance, order_channels
from autodistil.training.layer_choice import order_layers
from autodistil.training.least_squares import correct, spread
from autodistil.training.permutation import permute
from autodistil.training.reordered_teacher import ReorderedTeacher
from autodistil.training.settings import StartSettings
from autodistil.training.vector_map import needs_map, shared_map


@dataclass(frozen=True)
class Start:
    """Where the training of a SuperLM starts.

    Attributes:
        tensors: Tensors of the largest student, cut from the permuted teacher.
        kept_layers: Stored layers per depth.
        teacher_layers: For every stored layer, the teacher's layer it was copied from.
        channels: For every hidden channel of the SuperLM, the teacher's.
        encoder: What the students share with the teacher; its layers are the stored ones.
    """

    tensors: dict[str, Tensor]
    kept_layers: dict[int, tuple[int, ...]]
    teacher_layers: tuple[int, ...]
    channels: tuple[int, ...]
    encoder: EncoderConfig

    def save(self, path: Path, made_from: str) -> None:
        """Write it as safetensors; `made_from` names all that it depends on."""
        facts = {
            "made_from": made_from,
            "kept_layers": {str(depth): layers for depth, layers in self.kept_layers.items()},
            "teacher_layers": self.teacher_layers,
            "channels": self.channels,
            "encoder": self.encoder.model_dump(mode="json"),
        }
        with replacing(path) as partial:
            save_file(self.tensors, partial, metadata={"start": json.dumps(facts)})

    @classmethod
    def load(cls, path: Path, made_from: str) -> Self | None:
        """Read what `save` wrote; None if there is none, it is damaged, or of other making."""
        try:
            with safe_open(path, framework="pt") as file:
                facts = json.loads((file.metadata() or {})["start"])
                if facts["made_from"] != made_from:
                    return None
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError, KeyError, ValueError):
            return None
        kept_layers = {int(depth): tuple(layers) for depth, layers in facts["kept_layers"].items()}
        return cls(
            tensors,
            kept_layers,
            tuple(facts["teacher_layers"]),
            tuple(facts["channels"]),
            parse_encoder(facts["encoder"]),
        )


def calibration_batches(text: TokenizedText, seed: int, batches: int = 8) -> list[Batch]:
    """Sentences to measure on, about 1,600 tokens a batch; the same for the same seed.

    Args:
        text: Text to train on.
        seed: Of the sentences drawn.
        batches: How many, of 64 rows of 32 slots each.
    """
    return [text.batch(np.random.default_rng([seed, 0xCA11, i]), 64, 32) for i in range(batches)]


def teacher_encoder(teacher: Teacher) -> ElasticEncoder:
    """The teacher as an `ElasticEncoder`, frozen."""
    layers: KeptLayers = {teacher.architecture.layers: tuple(range(teacher.architecture.layers))}
    encoder = ElasticEncoder(teacher.tensors, teacher.encoder, layers)
    return encoder.requires_grad_(False).eval()


def cut_superlm(
    teacher: Teacher,
    space: SubSpace,
    calibration: Iterable[Batch],
    settings: StartSettings | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Start:
    """Cut the largest student of a sub-space out of the teacher, most important parts first.

    Args:
        teacher: The teacher.
        space: The sub-space; its largest student must fit inside the teacher.
        calibration: A few thousand tokens of text to measure importance on.
        settings: What is measured, and whether the cut is corrected.
        on_progress: Called whenever a matrix was corrected, which takes most of the time: matrices
            done, in all. Called once if none is.
    """
    settings = settings or StartSettings()
    batches = list(calibration)
    encoder, architecture = teacher_encoder(teacher), teacher.architecture
    for hidden in space.hidden:
        teacher.encoder.check_width(hidden)
    if space.layers[0] < (least := min(teacher.encoder.least_layers, architecture.layers)):
        raise InvalidInput(
            f"Students of {teacher.encoder.family} have {least} layers at least: the last, and the "
            "first, which is unlike the others. Leave smaller depths out of the sub-space."
        )
    ranked = order_layers(settings, encoder, architecture, batches, teacher.sentence_vectors)
    if len(ranked) < space.layers[-1]:
        raise InvalidInput(f"start.layers must name {space.layers[-1]} layers at least.")
    stored = sorted(ranked[: space.layers[-1]])
    kept_layers = {
        depth: tuple(sorted(stored.index(layer) for layer in ranked[:depth]))
        for depth in space.layers
    }
    # Students as wide as their teacher keep its channels in their order, and so its vectors.
    narrower = space.hidden != (architecture.hidden,)
    measure = settings.importance if narrower else "none"
    importance = measure_importance(encoder, architecture, batches, measure)
    channels = order_channels(importance, measure)
    permuted = permute(teacher, space, importance, channels, settings.permute_parts)
    shared = teacher.encoder.keep_layers(stored)
    shapes, tensors = shared.shapes(space.largest), {}
    for name, kind in shared.tensors(space.largest.layers).items():
        whole = permuted[shared.source(name, stored)]
        tensors[name] = cut(whole.__getitem__, len(whole), kind, shapes[name]).clone()
    if settings.least_squares:
        correct(
            ElasticEncoder(tensors, shared, kept_layers),
            spread(space),
            ReorderedTeacher(encoder, architecture, permuted, channels, batches),
            stored,
            settings.ridge,
            on_progress,
        )
    else:
        on_progress(1, 1)
    kept = channels[: space.largest.hidden].tolist()
    if teacher.embedding and needs_map(space, teacher.embedding):
        superlm = ElasticEncoder(tensors, shared, kept_layers)
        tensors |= _map(superlm, space, teacher, teacher.embedding, encoder, kept, batches)
    return Start(tensors, kept_layers, tuple(stored), tuple(kept), shared)


def _map(
    superlm: ElasticEncoder,
    space: SubSpace,
    teacher: Teacher,
    embedding: SentenceEmbedding,
    encoder: ElasticEncoder,
    channels: list[int],
    batches: list[Batch],
) -> dict[str, Tensor]:
    """The map to the teacher's vectors that the students share."""
    with torch.no_grad():
        samples = []
        for batch in batches:
            given = (batch.input_ids, batch.attention_mask)
            hidden = encoder(*given, teacher.architecture).hidden
            samples.append((batch, teacher.sentence_vectors(hidden, batch.attention_mask)))
    return shared_map(superlm, spread(space), samples, embedding, channels)


def load_or_cut(
    path: Path,
    made_from: str,
    teacher: Teacher,
    space: SubSpace,
    text: TokenizedText,
    settings: StartSettings,
    seed: int = 0,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Start:
    """The start that an earlier call saved, or a new one, which is saved.

    Args:
        path: File of the saved start; its folder is made.
        made_from: Names all that the start depends on; a file of other making is replaced.
        teacher: The teacher.
        space: The sub-space.
        text: Text to calibrate on.
        settings: What is measured, and whether the cut is corrected.
        seed: Of the calibration text.
        on_progress: As of `cut_superlm`; called once if the start was saved.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    start = Start.load(path, made_from)
    if start is None:
        calibration = calibration_batches(text, seed, settings.calibration_batches)
        start = cut_superlm(teacher, space, calibration, settings, on_progress)
        start.save(path, made_from)
    else:
        on_progress(1, 1)
    return start
