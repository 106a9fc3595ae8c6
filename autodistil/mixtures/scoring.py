"""Held-out signals of mixtures, one mixture and one batch at a time, each measured once.

The measure is that of the students in a candidate table (`autodistil.evaluation.evaluation`). A
mixture is run by itself: what shares a pass with others differs in its last bits with their number,
and a search that is resumed must find to the bit what an unbroken one finds.
"""

import hashlib
from collections.abc import Sequence
from functools import lru_cache

import torch

from autodistil.evaluation.comparison import TeacherOutputs
from autodistil.evaluation.evaluation import NEIGHBOURS, batch_bytes
from autodistil.evaluation.packed import PackedBatch
from autodistil.evaluation.score_log import ScoreLog
from autodistil.evaluation.shared_forward import LastLayer, Network, SharedForward, Step, network_of
from autodistil.evaluation.signals import Signals
from autodistil.models.elastic import ElasticEncoder, KeptLayers
from autodistil.spaces.architecture import Architecture
from autodistil.spaces.mixture import Mixture
from autodistil.spaces.spec import SuperLMSpec
from autodistil.superlm.bundle import WEIGHTS
from autodistil.text.corpus import Batch
from autodistil.training.settings import ObjectiveSettings

_KIND = "mixtures-1"
"""Changes whenever the same mixtures on the same text would get other signals."""


def mixture_network(mixture: Mixture, kept_layers: KeptLayers) -> Network:
    """The layers of a SuperLM that a mixture runs, and how much of each."""
    path = tuple(
        Step(layer, sizes.heads, sizes.intermediate)
        for layer, sizes in zip(kept_layers[mixture.layers], mixture.per_layer, strict=True)
    )
    return Network(mixture.hidden, mixture.head_width, path)


class MixtureScorer:
    """Measures mixtures on numbered batches.

    Args:
        superlm: The SuperLM.
        teacher: The teacher.
        teacher_architecture: The teacher's sizes.
        batches: Held-out text.
        objective: Relation heads and their split, and the temperature of similarities.
        log: Knows what was measured before, and keeps what is measured now.
        teachers_kept: For how many batches the teacher's relations stay in memory: some 3 x heads x
            tokens x row length numbers each, 80 MB for 3,400 tokens in rows of 128.
    """

    def __init__(
        self,
        superlm: ElasticEncoder,
        teacher: ElasticEncoder,
        teacher_architecture: Architecture,
        batches: Sequence[Batch],
        objective: ObjectiveSettings,
        log: ScoreLog,
        teachers_kept: int,
    ) -> None:
        self._superlm, self._teacher = superlm, teacher
        self._teacher_network = network_of(teacher_architecture, teacher.kept_layers)
        self._batches = [PackedBatch.of(batch) for batch in batches]
        self._objective = objective
        self._log = log
        self._teacher_outputs = lru_cache(teachers_kept)(self._run_teacher)

    @torch.inference_mode()
    def signals(self, mixture: Mixture, number: int) -> Signals:
        """What batch `number` says of a mixture."""
        found = self._log.get(mixture.name, number)
        if found is None:
            last = self._run(
                self._superlm, mixture_network(mixture, self._superlm.kept_layers), number
            )
            found = self._teacher_outputs(number).compare(last)
            self._log.add(mixture.name, number, found)
        return found

    def _run_teacher(self, number: int) -> TeacherOutputs:
        last = self._run(self._teacher, self._teacher_network, number)
        return TeacherOutputs(self._batches[number], last, self._objective, NEIGHBOURS)

    def _run(self, encoder: ElasticEncoder, network: Network, number: int) -> LastLayer:
        shared = SharedForward.of(encoder, network)
        ((_, last),) = shared.run(self._batches[number], [network.path])
        return last


def scores_identity(
    spec: SuperLMSpec, objective: ObjectiveSettings, batches: Sequence[Batch]
) -> str:
    """Hash of everything that the signals of a mixture depend on."""
    facts = (_KIND, spec.files[WEIGHTS].sha256, spec.kept_layers, spec.teacher.sha256, NEIGHBOURS)
    what = f"{facts} {spec.encoder} {objective}".encode()
    return hashlib.sha256(what + batch_bytes(batches)).hexdigest()
