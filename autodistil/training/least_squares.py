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

from autodistil.models.elastic import ElasticEncoder
from autodistil.spaces.architecture import Architecture, SubSpace
from autodistil.spaces.tensors import layer_tensor
from autodistil.training.reordered_teacher import ReorderedTeacher, TeacherLayer
from autodistil.training.shared_regression import LayerNormRegression, MatrixRegression

_KINDS = ("weight", "bias")

_MATRICES = 6
"""Of a layer: queries, keys, values, attention output, and the two of the FFN."""


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
    solved, total = count(1), _MATRICES * len(teacher_layers)

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
        self._hidden: dict[Architecture, list[Tensor]] = {}

    def run(self, teacher_layers: Sequence[int]) -> None:
        self._embed()
        for stored, wanted in enumerate(self._teacher.layers(teacher_layers)):
            active = [
                student
                for student in self._students
                if stored in self._superlm.kept_layers[student.layers]
            ]
            self._correct_layer(stored, active, wanted)

    def _embed(self) -> None:
        scale = LayerNormRegression(max(student.hidden for student in self._students))
        wanted = self._teacher.embedded()
        for student in self._students:
            self._hidden[student] = []
            for number in self._numbers:
                valid = self._teacher.valid[number]
                embedded = self._superlm.embed(
                    self._teacher.batches[number].input_ids, student.hidden
                )[valid]
                weight, bias = self._norm_tensors("embeddings.LayerNorm", student.hidden)
                plain = (embedded - bias) / weight
                self._hidden[student].append(plain)
                scale.add(plain, wanted[number][:, : student.hidden])
        self._solve_norm("embeddings.LayerNorm", scale, self._hidden)

    def _correct_layer(
        self, layer: int, students: Sequence[Architecture], wanted: Sequence[TeacherLayer]
    ) -> None:
        def name(part: str) -> str:
            return layer_tensor(layer, part)

        for part, values in (("query", "queries"), ("key", "keys"), ("value", "values")):
            problem = MatrixRegression()
            for student, number in self._each(students):
                target = getattr(wanted[number], values)[:, : student.attention_width]
                problem.add(self._hidden[student][number], target)
            self._solve(name(f"attention.self.{part}"), problem)
        context = {student: self._context(layer, student) for student in students}
        attended = self._residual(
            name("attention.output"),
            context,
            {s: self._hidden[s] for s in students},
            [(teacher.attention_sum, teacher.attended) for teacher in wanted],
        )
        problem = MatrixRegression()
        for student, number in self._each(students):
            target = wanted[number].inner[:, : student.intermediate]
            problem.add(attended[student][number], target)
        self._solve(name("intermediate.dense"), problem)
        activations = {
            student: [
                self._superlm.activation(
                    self._linear(name("intermediate.dense"), x, student.intermediate)
                )
                for x in attended[student]
            ]
            for student in students
        }
        self._hidden |= self._residual(
            name("output"),
            activations,
            attended,
            [(teacher.ffn_sum, teacher.hidden) for teacher in wanted],
        )

    def _residual(
        self,
        name: str,
        inputs: dict[Architecture, list[Tensor]],
        residual: dict[Architecture, list[Tensor]],
        wanted: Sequence[tuple[Tensor, Tensor]],
    ) -> dict[Architecture, list[Tensor]]:
        """Correct what adds to the residual stream, and the LayerNorm after it; its output."""
        problem = MatrixRegression()
        for student, number in self._each(inputs):
            # What the residual lost is asked back from the matrix.
            target = wanted[number][0][:, : student.hidden] - residual[student][number]
            problem.add(inputs[student][number], target)
        self._solve(f"{name}.dense", problem)
        scale = LayerNormRegression(max(student.hidden for student in inputs))
        normalised: dict[Architecture, list[Tensor]] = {student: [] for student in inputs}
        for student, number in self._each(inputs):
            added = self._linear(f"{name}.dense", inputs[student][number], student.hidden)
            plain = F.layer_norm(
                added + residual[student][number],
                (student.hidden,),
                eps=self._superlm.encoder.layer_norm_eps,
            )
            normalised[student].append(plain)
            scale.add(plain, wanted[number][1][:, : student.hidden])
        self._solve_norm(f"{name}.LayerNorm", scale, normalised)
        return normalised

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

    def _linear(self, name: str, x: Tensor, out: int) -> Tensor:
        weight = self._tensors[f"{name}.weight"][:out, : x.shape[1]]
        return F.linear(x, weight, self._tensors[f"{name}.bias"][:out])

    def _solve(self, name: str, problem: MatrixRegression) -> None:
        weight, bias = (self._tensors[f"{name}.{kind}"] for kind in _KINDS)
        problem.solve(weight, bias, self._ridge)
        self._on_solved()

    def _norm_tensors(self, name: str, width: int) -> tuple[Tensor, Tensor]:
        weight, bias = (self._tensors[f"{name}.{kind}"][:width] for kind in _KINDS)
        return weight, bias

    def _solve_norm(
        self, name: str, scale: LayerNormRegression, normalised: dict[Architecture, list[Tensor]]
    ) -> None:
        """Correct a LayerNorm and apply it, in place, to what was normalised."""
        scale.solve(*self._norm_tensors(name, scale.width))
        for student, states in normalised.items():
            weight, bias = self._norm_tensors(name, student.hidden)
            normalised[student] = [state * weight + bias for state in states]
