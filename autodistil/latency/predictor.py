"""Predicting the latency of students that were not measured, from their sizes.

Under fixed conditions a forward's time is close to a sum of the work in it, each kind of work at a
price of its own: a matrix product by its weights, a LayerNorm by its width, a layer by being there
at all. The prices are found by non-negative least squares on relative errors, so a student that has
more of everything is never predicted to be faster, and every price can be read.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, NamedTuple, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from autodistil.errors import InvalidInput
from autodistil.latency.conditions import Percentile
from autodistil.latency.measurement import Latency

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Sizes(Protocol):
    """The sizes of a student: an `Architecture`, or a row of a candidate table."""

    @property
    def layers(self) -> int: ...  # noqa: D102
    @property
    def hidden(self) -> int: ...  # noqa: D102
    @property
    def heads(self) -> int: ...  # noqa: D102
    @property
    def head_width(self) -> int: ...  # noqa: D102
    @property
    def intermediate(self) -> int: ...  # noqa: D102


class _Columns(NamedTuple):
    """The sizes of several students, [students] each."""

    layers: "NDArray[np.float64]"
    hidden: "NDArray[np.float64]"
    heads: "NDArray[np.float64]"
    head_width: "NDArray[np.float64]"
    intermediate: "NDArray[np.float64]"


WORK: dict[str, Callable[[_Columns], "NDArray[np.float64]"]] = {
    "forward": lambda s: s.layers**0,
    "embedding_width": lambda s: s.hidden,
    "pooler_weights": lambda s: s.hidden**2,
    "layers": lambda s: s.layers,
    "layer_width": lambda s: s.layers * s.hidden,
    "heads": lambda s: s.layers * s.heads,
    "attention_width": lambda s: s.layers * s.heads * s.head_width,
    "projection_weights": lambda s: 4 * s.layers * s.hidden * s.heads * s.head_width,
    "ffn_width": lambda s: s.layers * s.intermediate,
    "ffn_weights": lambda s: 2 * s.layers * s.hidden * s.intermediate,
}
"""Kinds of work in a forward, and how much of each a student has."""

_Price = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
_Ratio = Annotated[float, Field(ge=1, le=1e6, allow_inf_nan=False)]
FEWEST = 4
"""A predictor is fitted to so many measured students at least."""


class Predictor(BaseModel):
    """Predicts latencies under the conditions of its measurements.

    The prices are fitted to the 10th percentiles, which other work on the machine disturbs least;
    how much slower the median and the 90th percentile are is one ratio for all students.

    Attributes:
        prices: Milliseconds per unit of each kind of `WORK`.
        p50_ratio: The median of the students' p50 / p10.
        p90_ratio: The median of their p90 / p10.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    prices: dict[str, _Price]
    p50_ratio: _Ratio
    p90_ratio: _Ratio

    @model_validator(mode="after")
    def _check(self) -> Self:
        if set(self.prices) != set(WORK):
            raise ValueError(f"prices must name the work {', '.join(WORK)}")
        if not any(self.prices.values()):
            raise ValueError("prices must not all be zero")
        if self.p50_ratio > self.p90_ratio:
            raise ValueError("p50_ratio must not exceed p90_ratio")
        return self

    @classmethod
    def fit(cls, students: Sequence[Sizes], latencies: Sequence[Latency]) -> Self:
        """Fit to measured students.

        Raises:
            InvalidInput: They are fewer than `FEWEST`.
        """
        import numpy as np
        from scipy.optimize import nnls

        if len(students) < FEWEST:
            raise InvalidInput(f"A predictor needs at least {FEWEST} measured students.")
        p10, p50, p90 = np.array([(m.p10_ms, m.p50_ms, m.p90_ms) for m in latencies]).T
        relative = _work(students) / p10[:, None]  # a row's prediction is 1 where it is exact
        scale = relative.max(0)
        prices, _ = nnls(relative / scale, np.ones(len(p10)))
        return cls(
            prices=dict(zip(WORK, (prices / scale).tolist(), strict=True)),
            p50_ratio=float(np.median(p50 / p10)),
            p90_ratio=float(np.median(p90 / p10)),
        )

    def predict(self, students: Sequence[Sizes], percentile: Percentile = 50) -> list[float]:
        """Milliseconds of students, to a tenth of a microsecond and never less than that."""
        import numpy as np

        ratio = self.p50_ratio if percentile == 50 else self.p90_ratio
        prices = np.array([self.prices[kind] for kind in WORK])
        milliseconds = _work(students) @ prices * ratio
        predicted: list[float] = milliseconds.round(4).clip(min=1e-4).tolist()
        return predicted

    def slowed(self, factor: float) -> Self:
        """The same predictor on a device that is `factor` times as slow as it was."""
        prices = {kind: price * factor for kind, price in self.prices.items()}
        return self.model_copy(update={"prices": prices})


class Prediction(NamedTuple):
    """The predicted latency of a student.

    Attributes:
        ms: Milliseconds for one forward of a batch.
        extrapolated: Whether the student has less or more of some kind of `WORK` than every student
            that was measured, so that nothing says how near the prediction is.
    """

    ms: float
    extrapolated: bool


def outside_range(students: Sequence[Sizes], measured: Sequence[Sizes]) -> list[bool]:
    """Whether each student has less or more of some kind of `WORK` than all that were measured."""
    work, known = _work(students), _work(measured)
    outside: list[bool] = ((work < known.min(0)) | (work > known.max(0))).any(1).tolist()
    return outside


def held_out_errors(students: Sequence[Sizes], latencies: Sequence[Latency]) -> list[float]:
    """Relative errors of predicted medians, each of a student that its predictor did not see."""
    errors = []
    for left_out, (student, latency) in enumerate(zip(students, latencies, strict=True)):
        others = [index for index in range(len(students)) if index != left_out]
        predictor = Predictor.fit([students[i] for i in others], [latencies[i] for i in others])
        errors.append(predictor.predict([student])[0] / latency.p50_ms - 1)
    return errors


def _work(students: Sequence[Sizes]) -> "NDArray[np.float64]":
    """Work of each kind, [students, kinds]."""
    import numpy as np

    sizes = [tuple(getattr(student, size) for size in _Columns._fields) for student in students]
    columns = _Columns(*np.array(sizes, dtype=np.float64).T)
    return np.stack([of(columns) for of in WORK.values()], axis=1)
