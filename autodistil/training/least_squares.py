"""Least-squares correction of a cut SuperLM: before any training, make up for what was cut off.

A slice reads fewer channels than the teacher's matrices were made for. From the first layer to the
last, every matrix is solved anew, so that the students' queries, keys, values, activations, and
residual sums come as near to the teacher's as a linear map brings them on a few thousand tokens.
One solution serves all students: an input that a student does not have counts as zero. Later layers
see the corrected output of earlier ones, so they make up for their remaining errors, too.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count

import torch
from torch import Tensor
from torch.nn import functional as F

from autodistil.families.architecture import Architecture
from autodistil.families.parts import Linear, Norm
from autodistil.models.elastic import ElasticEncoder
from autodistil.models.primitives import activate, bias_of, linear, norm_weights, weight_of
from autodistil.spaces.sub_space import SubSpace
from autodistil.training.reordered_teacher import ReorderedTeacher, TeacherLayer
from autodistil.training.shared_regression import LayerNormRegression, MatrixRegression

States = dict[Architecture, list[Tensor]]
"""For every student its states on each batch, [tokens, width] each."""


def spread(space: SubSpace) -> list[Architecture]:
    """Students that stand for all: the ends of depth, FFN ratio, and heads at every width, with the
    largest vocabulary.
    """
    ends = {
        "layers": {space.layers[0], space.layers[-1]},
        "percent": {space.ffn_percent[0], space.ffn_percent[-1]},
    }
    chosen = []
    for hidden in space.hidden:
        same = [
            student
            for student in space.students()
            if student.hidden == hidden and student.vocab == space.largest.vocab
        ]
        heads = {min(s.heads for s in same), max(s.heads for s in same)}
        chosen += [
            student
            for student in same
            if student.layers in ends["layers"]
            and student.intermediate * 100 in {hidden * percent for percent in ends["percent"]}
            and student.heads in heads
        ]
    return chosen


@torch.inference_mode()
def correct(
    superlm: ElasticEncoder,
    students: Sequence[Architecture],
    teacher: ReorderedTeacher,
    teacher_layers: Sequence[int],
    ridge: float,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Correct a SuperLM in place.

    Args:
        superlm: The cut SuperLM.
        students: The students to serve, for example those of `spread`.
        teacher: The teacher's values to come near to.
        teacher_layers: For every stored layer, the teacher's layer it was cut from.
        ridge: Pull towards the cut weights, as a share of the mean second moment of the inputs.
        on_progress: Called after every solved matrix: matrices done, in all.
    """
    parts = (superlm.encoder.block(layer).parts for layer in range(len(teacher_layers)))
    solved, total = count(1), sum(isinstance(part, Linear) for found in parts for part in found)

    def on_solved() -> None:
        on_progress(next(solved), total)

    _Correction(superlm, students, teacher, ridge, on_solved).run(teacher_layers)


class _Correction:
    """The students' values on the calibration text, layer after layer."""

    def __init__(
        self,
        superlm: ElasticEncoder,
        students: Sequence[Architecture],
        teacher: ReorderedTeacher,
        ridge: float,
        on_solved: Callable[[], None],
    ) -> None:
        self._superlm, self._teacher, self._ridge = superlm, teacher, ridge
        self._on_solved = on_solved
        self._tensors = superlm.tensors()
        self._numbers = range(len(teacher.batches))
        self._students = students
        self._hidden: States = {}

    def run(self, teacher_layers: Sequence[int]) -> None:
        self._embed()
        wanted: list[TeacherLayer] = []
        for stored, found in enumerate(self._teacher.layers(teacher_layers)):
            active = [
                student
                for student in self._students
                if stored in self._superlm.kept_layers[student.layers]
            ]
            wanted = list(found)
            self._correct_layer(stored, active, wanted)
        # All students end with the last stored layer.
        self._normalise(
            self._superlm.encoder.final_norm, self._hidden, [layer.ended for layer in wanted]
        )

    def _embed(self) -> None:
        parts = self._superlm.encoder.embeddings
        wanted = self._teacher.embedded()
        for student in self._students:
            self._hidden[student] = [
                self._superlm.embed(self._teacher.batches[number].input_ids, student.hidden)[
                    self._teacher.valid[number]
                ]
                for number in self._numbers
            ]
        if parts.projection is not None:
            return  # narrower only after the LayerNorm: what students have is as the teacher's
        for student, states in self._hidden.items():
            weight, bias = norm_weights(self._tensors, parts.norm, student.hidden)
            self._hidden[student] = [
                (state if bias is None else state - bias) / weight for state in states
            ]
        self._hidden |= self._scaled(parts.norm, self._hidden, wanted)

    def _correct_layer(
        self, layer: int, students: Sequence[Architecture], wanted: Sequence[TeacherLayer]
    ) -> None:
        block = self._superlm.encoder.block(layer)
        residual = {student: self._hidden[student] for student in students}
        read = self._normalise(
            block.before_attention, residual, [teacher.attention_read for teacher in wanted]
        )
        for part, values in (
            (block.query, [teacher.queries for teacher in wanted]),
            (block.key, [teacher.keys for teacher in wanted]),
            (block.value, [teacher.values for teacher in wanted]),
        ):
            self._correct(part, read, values, lambda student: student.attention_width)
        context = {student: self._context(layer, student) for student in students}
        sums = [teacher.attention_sum for teacher in wanted]
        attended = self._add(block.attention_output, context, residual, sums)
        attended = self._normalise(
            block.after_attention, attended, [teacher.attended for teacher in wanted]
        )
        read = self._normalise(block.before_ffn, attended, [teacher.ffn_read for teacher in wanted])
        inner = [teacher.inner for teacher in wanted]
        self._correct(block.ffn_in, read, inner, lambda student: student.intermediate)
        if block.gate is not None:
            gates = [teacher.gate for teacher in wanted if teacher.gate is not None]
            self._correct(block.gate, read, gates, lambda student: student.intermediate)
        activations = {
            student: [
                activate(self._tensors, block, self._superlm.activation, x, student.intermediate)
                for x in read[student]
            ]
            for student in students
        }
        sums = [teacher.ffn_sum for teacher in wanted]
        hidden = self._add(block.ffn_out, activations, attended, sums)
        self._hidden |= self._normalise(
            block.after_ffn, hidden, [teacher.hidden for teacher in wanted]
        )

    def _correct(
        self,
        part: Linear,
        inputs: States,
        wanted: Sequence[Tensor],
        out: Callable[[Architecture], int],
    ) -> None:
        """Solve a map anew, so that it makes what is wanted of the inputs."""
        problem = MatrixRegression()
        for student, number in self._each(inputs):
            problem.add(inputs[student][number], wanted[number][:, : out(student)])
        weight, bias = weight_of(self._tensors, part), bias_of(self._tensors, part)
        problem.solve(weight, bias, self._ridge)
        self._on_solved()

    def _add(
        self, part: Linear, inputs: States, residual: States, wanted: Sequence[Tensor]
    ) -> States:
        """Solve what adds to the residual stream, and add it."""
        problem = MatrixRegression()
        for student, number in self._each(inputs):
            # What the residual lost is asked back from the matrix.
            target = wanted[number][:, : student.hidden] - residual[student][number]
            problem.add(inputs[student][number], target)
        problem.solve(weight_of(self._tensors, part), bias_of(self._tensors, part), self._ridge)
        self._on_solved()
        return {
            student: [
                linear(self._tensors, part, inputs[student][number], student.hidden)
                + residual[student][number]
                for number in self._numbers
            ]
            for student in inputs
        }

    def _normalise(self, part: Norm | None, states: States, wanted: Sequence[Tensor]) -> States:
        """Correct a LayerNorm, and what it makes of the states; the states where there is none."""
        if part is None:
            return states
        eps = self._superlm.encoder.layer_norm_eps
        plain = {
            student: [F.layer_norm(state, (student.hidden,), eps=eps) for state in found]
            for student, found in states.items()
        }
        return self._scaled(part, plain, wanted)

    def _scaled(self, part: Norm, plain: States, wanted: Sequence[Tensor]) -> States:
        """Correct the scale and shift of a LayerNorm, and apply them to what is normalised."""
        scale = LayerNormRegression(max(student.hidden for student in plain))
        for student, number in self._each(plain):
            scale.add(plain[student][number], wanted[number][:, : student.hidden])
        scale.solve(*norm_weights(self._tensors, part, scale.width))
        found: States = {}
        for student, states in plain.items():
            weight, bias = norm_weights(self._tensors, part, student.hidden)
            found[student] = [
                state * weight if bias is None else state * weight + bias for state in states
            ]
        return found

    def _context(self, layer: int, student: Architecture) -> list[Tensor]:
        found = []
        for number in self._numbers:
            valid = self._teacher.valid[number]
            hidden = torch.zeros(*valid.shape, student.hidden)
            hidden[valid] = self._hidden[student][number]
            output = self._superlm.layer(hidden, valid[:, None, None, :], layer, student)
            found.append(output.context[valid])
        return found

    def _each(self, students: Iterable[Architecture]) -> Iterator[tuple[Architecture, int]]:
        return ((student, number) for student in students for number in self._numbers)
