"""What a latency depends on besides the student: the device, and how it is run there."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

DeviceName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
"""Name of a device; it is also part of the name of the queue that its workers listen on."""

Threads = Annotated[int, Field(ge=1, le=1024)]
Percentile = Literal[50, 90]


class HowRun(BaseModel):
    """How a student is run, apart from the machine.

    Attributes:
        batch_size: Sequences in a forward.
        sequence_length: Tokens of each, none of them padding.
        dtype: Type of weights and activations.
        runtime: What runs it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    batch_size: Annotated[int, Field(ge=1, le=1024)] = 1
    sequence_length: Annotated[int, Field(ge=1, le=4096)] = 128
    dtype: Literal["float32", "bfloat16"] = "float32"
    runtime: Literal["torch", "onnxruntime"] = "torch"

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.runtime == "onnxruntime" and self.dtype != "float32":
            raise ValueError(f"onnxruntime runs float32, not {self.dtype}")
        return self

    @property
    def how(self) -> "HowRun":
        """The same without anything that a subclass adds."""
        return HowRun(**{name: getattr(self, name) for name in HowRun.model_fields})

    def __str__(self) -> str:
        return (
            f"batch {self.batch_size} x {self.sequence_length} tokens, {self.runtime} {self.dtype}"
        )


class Conditions(HowRun):
    """The conditions of a measurement.

    Attributes:
        threads: Threads that share the work of one operation.
    """

    threads: Threads

    def __str__(self) -> str:
        return f"{self.how}, {self.threads} thread{'s' * (self.threads > 1)}"


class LatencyLimit(HowRun):
    """A limit on latency under stated conditions.

    Attributes:
        ms: Milliseconds for one forward of a batch.
        device: Name of a profiled device.
        percentile: Which percentile of the runs must stay below.
        threads: Threads; as many as the device was profiled with (the most, if several) if None.
    """

    ms: Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]
    device: DeviceName | None = None
    percentile: Percentile = 90
    threads: Threads | None = None
