"""Least-squares correction of a cut SuperLM: before any training, make up for what was cut off.

A slice reads fewer channels than the teacher's matrices were made for. From the first layer to the
last, every matrix is solved anew, so that the students' queries, keys, values, activations, and
residual sums come as near to the teacher's as a linear map brings them on a few thousand tokens.
One solution serves all students: an input that a student does not have counts as zero. Later layers
see the corrected output of earlier ones, so they make up for their remaining errors, too.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from autodistil.architecture import Architecture, SubSpace
from autodistil.corpus import Batch
from autodistil.elastic import ElasticEncoder, LayerOutput
from autodistil.tensors import layer_tensor


@dataclass(frozen=True)
class TeacherLayer:
    """What a teacher's layer computed on one batch, in the SuperLM's order of parts.

    Attributes:
        queries: [tokens, attention width].
        keys: Same shape.
        values: Same shape.
        attention_sum: Attention output plus residual, before the LayerNorm, [tokens, hidden].
        attended: After it.
        inner: FFN values before the activation, [tokens, intermediate].
        ffn_sum: FFN output plus residual, before the LayerNorm, [tokens, hidden].
        hidden: After it.
    """

    queries: Tensor
    keys: Tensor
    values: Tensor
    attention_sum: Tensor
    attended: Tensor
    inner: Tensor
    ffn_sum: Tensor
    hidden: Tensor


class ReorderedTeacher:
    """The teacher run layer by layer on calibration text, its parts in the SuperLM's order.

    Args:
        encoder: The teacher.
        architecture: Its sizes.
        permuted: Its tensors in the SuperLM's order, from `autodistil.permutation.permute`.
        channels: The order of the hidden channels, [hidden].
        batches: Calibration text.
    """

    def __init__(
        self,
        encoder: ElasticEncoder,
        architecture: Architecture,
        permuted: dict[str, Tensor],
        channels: Tensor,
        batches: list[Batch],
    ) -> None:
        self._encoder, self._architecture = encoder, architecture
        self._permuted, self._channels = permuted, channels
        self.batches = batches
        self.valid = [batch.attention_mask.bool() for batch in batches]
        self._hidden = [[encoder.embed(b.input_ids, architecture.hidden) for b in batches]]
        for layer in range(architecture.layers - 1):
            self._hidden.append([self._run(layer, number).hidden for number in range(len(batches))])

    def embedded(self, number: int) -> Tensor:
        """Embeddings of a batch without its padding, [tokens, hidden]."""
        return self._hidden[0][number][self.valid[number]][:, self._channels]

    def layer(self, layer: int, number: int) -> TeacherLayer:
        """What a layer computed on a batch."""
        tensors, valid = self._encoder.tensors(), self.valid[number]
        hidden, output = self._hidden[layer][number], self._run(layer, number)

        def kept(x: Tensor) -> Tensor:
            return x[valid][:, self._channels]

        def linear(source: dict[str, Tensor], part: str, x: Tensor) -> Tensor:
            weight, bias = (source[layer_tensor(layer, f"{part}.{kind}")] for kind in _KINDS)
            return F.linear(x, weight, bias)

        before, attended = kept(hidden), kept(output.attended)
        return TeacherLayer(
            queries=linear(self._permuted, "attention.self.query", before),
            keys=linear(self._permuted, "attention.self.key", before),
            values=linear(self._permuted, "attention.self.value", before),
            attention_sum=kept(linear(tensors, "attention.output.dense", output.context) + hidden),
            attended=attended,
            inner=linear(self._permuted, "intermediate.dense", attended),
            ffn_sum=kept(linear(tensors, "output.dense", output.activations) + output.attended),
            hidden=kept(output.hidden),
        )

    def _run(self, layer: int, number: int) -> LayerOutput:
        mask = self.valid[number][:, None, None, :]
        return self._encoder.layer(self._hidden[layer][number], mask, layer, self._architecture)


_KINDS = ("weight", "bias")
_REWEIGHTINGS = 3
"""Rounds in which the students' weights and the solution settle; more change it little."""


class _Moments(NamedTuple):
    """Sums over the tokens of students of the same widths.

    Attributes:
        inputs: x x^T, the last input being the constant 1 of the bias, [in + 1, in + 1].
        both: x y^T, [in + 1, out].
        targets: y^2, [out].
    """

    inputs: Tensor
    both: Tensor
    targets: Tensor


@dataclass
class _Linear:
    """min ||W x + b - y||^2 over all students; a student lacks inputs and outputs past its widths.

    Students are weighted by the inverse of their error, which asks for small relative errors.
    Unweighted, narrow students, which err most, would rule at the cost of wide ones.
    """

    moments: dict[tuple[int, int], _Moments] = field(default_factory=dict)

    def add(self, inputs: Tensor, targets: Tensor) -> None:
        """Add tokens of a student: inputs [tokens, in], targets [tokens, out]."""
        x = F.pad(inputs, (0, 1), value=1.0)
        found = _Moments((x.T @ x).double(), (x.T @ targets).double(), (targets**2).sum(0).double())
        key = (inputs.shape[1], targets.shape[1])
        if key in self.moments:
            found = _Moments(*(a + b for a, b in zip(found, self.moments[key], strict=True)))
        self.moments[key] = found

    def solve(self, weight: Tensor, bias: Tensor, ridge: float) -> None:
        """Write the solution into weight [out, in] and bias [out], which it starts from."""
        before = torch.cat([weight.T, bias[None]]).double()
        solution = before
        for _ in range(_REWEIGHTINGS):
            shares = {key: 1 / self._error(key, solution) for key in self.moments}
            solution = self._solve(before, shares, ridge)
        weight.copy_(solution[:-1].T)
        bias.copy_(solution[-1])

    def _error(self, key: tuple[int, int], solution: Tensor) -> float:
        """Squared error of the students of these widths per token and output."""
        (inputs, outputs), moments = key, self.moments[key]
        taken = torch.cat([solution[:inputs, :outputs], solution[-1:, :outputs]])
        error = moments.targets.sum() - 2 * (taken * moments.both).sum()
        error += (taken * (moments.inputs @ taken)).sum()
        tokens = float(moments.inputs[-1, -1])
        least = 1e-6 * float(moments.targets.sum())  # an exact fit may not rule the rest out
        return (max(float(error), least) + 1e-12) / (tokens * outputs)

    def _solve(self, before: Tensor, shares: dict[tuple[int, int], float], ridge: float) -> Tensor:
        solution, width = before.clone(), len(before) - 1
        ends = sorted({outputs for _, outputs in self.moments})
        for low, high in zip([0, *ends[:-1]], ends, strict=True):
            gram = torch.zeros(width + 1, width + 1, dtype=torch.float64)
            right = torch.zeros(width + 1, high - low, dtype=torch.float64)
            for (inputs, outputs), moments in self.moments.items():
                if outputs >= high:
                    index = torch.tensor([*range(inputs), width])
                    share = shares[inputs, outputs]
                    gram[index[:, None], index] += share * moments.inputs
                    right[index] += share * moments.both[:, low:high]
            pull = torch.ones(width + 1, dtype=torch.float64)
            pull *= ridge * gram.diagonal()[:-1].mean()
            pull[-1] = 0.0  # the bias is free
            part = right + pull[:, None] * before[:, low:high]
            solution[:, low:high] = torch.linalg.solve(gram + pull.diag(), part)
        return solution


@dataclass
class _Scale:
    """Scale and shift of every channel of a LayerNorm, by regression over all students."""

    width: int
    sums: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.sums = torch.zeros(5, self.width, dtype=torch.float64)

    def add(self, normalised: Tensor, target: Tensor) -> None:
        """Add tokens of a student, both [tokens, hidden]."""
        x, y = normalised.double(), target.double()
        self.sums[:, : x.shape[1]] += torch.stack(
            [torch.ones_like(x).sum(0), x.sum(0), y.sum(0), (x * x).sum(0), (x * y).sum(0)]
        )

    def solve(self, weight: Tensor, bias: Tensor) -> None:
        """Write the solution into weight and bias, both [hidden]."""
        count, x, y, xx, xy = self.sums
        x, y = x / count, y / count
        scale = (xy / count - x * y) / (xx / count - x * x).clamp(min=1e-8)
        weight.copy_(scale)
        bias.copy_(y - scale * x)


def spread(space: SubSpace) -> list[Architecture]:
    """Students that stand for all: the ends of depth, FFN ratio, and heads at every width."""
    ends = {
        "layers": {space.layers[0], space.layers[-1]},
        "percent": {space.ffn_percent[0], space.ffn_percent[-1]},
    }
    chosen = []
    for hidden in space.hidden:
        same = [student for student in space.students() if student.hidden == hidden]
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
) -> None:
    """Correct a SuperLM in place.

    Args:
        superlm: The cut SuperLM.
        students: The students to serve, for example those of `spread`.
        teacher: The teacher's values to come near to.
        teacher_layers: For every stored layer, the teacher's layer it was cut from.
        ridge: Pull towards the cut weights, as a share of the mean second moment of the inputs.
    """
    _Correction(superlm, students, teacher, ridge).run(teacher_layers)


class _Correction:
    """The students' values on the calibration text, layer after layer."""

    def __init__(
        self,
        superlm: ElasticEncoder,
        students: Sequence[Architecture],
        teacher: ReorderedTeacher,
        ridge: float,
    ) -> None:
        self._superlm, self._teacher, self._ridge = superlm, teacher, ridge
        self._tensors = superlm.tensors()
        self._numbers = range(len(teacher.batches))
        self._students = students
        self._hidden: dict[Architecture, list[Tensor]] = {}

    def run(self, teacher_layers: Sequence[int]) -> None:
        self._embed()
        for stored, layer in enumerate(teacher_layers):
            active = [
                student
                for student in self._students
                if stored in self._superlm.kept_layers[student.layers]
            ]
            wanted = [self._teacher.layer(layer, number) for number in self._numbers]
            self._correct_layer(stored, active, wanted)

    def _embed(self) -> None:
        scale = _Scale(max(student.hidden for student in self._students))
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
                scale.add(plain, self._teacher.embedded(number)[:, : student.hidden])
        self._solve_norm("embeddings.LayerNorm", scale, self._hidden)

    def _correct_layer(
        self, layer: int, students: Sequence[Architecture], wanted: Sequence[TeacherLayer]
    ) -> None:
        def name(part: str) -> str:
            return layer_tensor(layer, part)

        for part, values in (("query", "queries"), ("key", "keys"), ("value", "values")):
            problem = _Linear()
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
        problem = _Linear()
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
        problem = _Linear()
        for student, number in self._each(inputs):
            # What the residual lost is asked back from the matrix.
            target = wanted[number][0][:, : student.hidden] - residual[student][number]
            problem.add(inputs[student][number], target)
        self._solve(f"{name}.dense", problem)
        scale = _Scale(max(student.hidden for student in inputs))
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

    def _solve(self, name: str, problem: _Linear) -> None:
        weight, bias = (self._tensors[f"{name}.{kind}"] for kind in _KINDS)
        problem.solve(weight, bias, self._ridge)

    def _norm_tensors(self, name: str, width: int) -> tuple[Tensor, Tensor]:
        weight, bias = (self._tensors[f"{name}.{kind}"][:width] for kind in _KINDS)
        return weight, bias

    def _solve_norm(
        self, name: str, scale: _Scale, normalised: dict[Architecture, list[Tensor]]
    ) -> None:
        """Correct a LayerNorm and apply it, in place, to what was normalised."""
        scale.solve(*self._norm_tensors(name, scale.width))
        for student, states in normalised.items():
            weight, bias = self._norm_tensors(name, student.hidden)
            normalised[student] = [state * weight + bias for state in states]
