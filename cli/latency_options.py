"""Options about latency: the limit of a budget, and the conditions it holds under."""

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from autodistil.errors import InvalidInput
from autodistil.latency.conditions import LatencyLimit
from autodistil.latency.device_profile import DeviceProfile, read_profile

_TIME = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s*(ms|s|)")
_KEYS = {
    name: int if name in ("batch_size", "sequence_length", "threads", "percentile") else str
    for name in LatencyLimit.model_fields
    if name not in ("ms", "device")
}

LatencyMs = Annotated[
    str | None,
    typer.Option("--latency", help="At most so long for a forward, such as 5ms; needs --device."),
]
ProfileFile = Annotated[
    Path | None,
    typer.Option(
        "--device", help="Latency profile of the device, as 'autodistil device profile' writes it."
    ),
]
DeviceOption = Annotated[
    str | None, typer.Option("--device", help="Name of a device that the service has profiled.")
]
LimitConditions = Annotated[
    str | None,
    typer.Option(
        "--conditions",
        help="What the latency holds under, such as batch_size=8,sequence_length=64; also dtype, "
        "runtime (torch or onnxruntime), threads, and percentile (50 or 90).",
    ),
]


def read_conditions(text: str | None, keys: tuple[str, ...] = tuple(_KEYS)) -> dict[str, Any]:
    """Conditions from the command line.

    Args:
        text: Such as `batch_size=8,runtime=torch`.
        keys: What may be named.

    Raises:
        InvalidInput: It is no list of known keys and values.
    """
    conditions: dict[str, Any] = {}
    for part in (text or "").split(",") if text else []:
        key, _, value = (side.strip() for side in part.partition("="))
        number = _KEYS.get(key) is int
        if key not in keys or not value or key in conditions or (number and not _whole(value)):
            raise InvalidInput(
                f"--conditions: {part.strip()!r} cannot be read; write KEY=VALUE,..., where KEY is "
                f"one of {', '.join(keys)}."
            )
        conditions[key] = int(value) if number else value
    return conditions


def _whole(value: str) -> bool:
    return value.isascii() and value.isdecimal() and len(value) < 10


def latency_limit(
    latency: str | None, device: str | None, conditions: str | None
) -> dict[str, Any] | None:
    """The latency limit of a budget from its options; None without one.

    Raises:
        InvalidInput: The time cannot be read, or options are there without it.
    """
    if latency is None:
        if device is not None or conditions is not None:
            raise InvalidInput(
                "--device and --conditions say how --latency is meant; give that too."
            )
        return None
    match = _TIME.fullmatch(latency.strip())
    if not match:
        raise InvalidInput(f"--latency: {latency!r} is no time; write it as in 5ms, 0.5ms, or 1s.")
    ms = float(match[1]) * (1000 if match[2] == "s" else 1)
    return {"ms": ms, "device": device, **read_conditions(conditions)}


def read_device(file: Path | None) -> dict[str, DeviceProfile]:
    """The profile in a file by its device's name; empty if no file is named.

    Raises:
        InvalidInput: There is no profile in the file.
    """
    if file is None:
        return {}
    profile = read_profile(file)
    return {profile.name: profile}
