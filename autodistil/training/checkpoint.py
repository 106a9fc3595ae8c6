"""The checkpoint of a training run: weights, moments of the optimizer, and how far it came."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from autodistil.errors import CheckpointMismatch
from autodistil.files import replacing
from autodistil.models.teacher import Teacher
from autodistil.spaces.sub_space import SubSpace
from autodistil.text.passages import Passages
from autodistil.training.settings import TrainingSettings
from autodistil.training.start import Start

CHECKPOINT = "checkpoint.safetensors"
"""Name of the file, in the folder of a run."""

_MOMENTS = ("exp_avg", "exp_avg_sq", "step")
"""What AdamW keeps of each parameter."""


class Position(NamedTuple):
    """How far a run came.

    Attributes:
        step: Steps done.
        tokens_seen: Tokens seen, over all processes.
    """

    step: int
    tokens_seen: int


def write_checkpoint(
    path: Path,
    identity: str,
    position: Position,
    parameters: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
) -> None:
    """Write a checkpoint; the old one stays until the new one is whole.

    Args:
        path: The file.
        identity: Of the run, from `run_identity`.
        position: How far the run came.
        parameters: Of the SuperLM, by their names.
        optimizer: Of these parameters.
    """
    tensors: dict[str, Tensor] = {}
    for name, parameter in parameters.items():
        tensors[f"weights/{name}"] = parameter.detach()
        state = optimizer.state.get(parameter, {})
        for moment in _MOMENTS:
            if moment in state:
                tensors[f"{moment}/{name}"] = state[moment]
    metadata = {"identity": identity, **position._asdict()}
    with replacing(path) as partial:
        save_file(
            {key: value.contiguous() for key, value in tensors.items()},
            partial,
            metadata={"run": json.dumps(metadata)},
        )


def read_checkpoint(
    path: Path,
    identity: str,
    parameters: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
    device: torch.device,
) -> Position:
    """Read a checkpoint into a SuperLM's parameters and their optimizer.

    Args:
        path: The file.
        identity: Of the run that goes on, from `run_identity`.
        parameters: Overwritten; by their names.
        optimizer: Of these parameters; its moments are overwritten.
        device: Where the parameters are.

    Returns:
        How far the run came.

    Raises:
        CheckpointMismatch: It belongs to another run, or is damaged.
    """
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            metadata = json.loads((file.metadata() or {}).get("run", "{}"))
            if metadata.get("identity") != identity:
                raise CheckpointMismatch(
                    f"{path} was written by a run with other settings, teacher, sub-space, "
                    "or text; use the same ones to resume it, or another folder to start anew."
                )
            saved = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointMismatch(f"{path} is damaged ({error}); delete it.") from error
    if missing := sorted(
        f"weights/{name}" for name in parameters if f"weights/{name}" not in saved
    ):
        raise CheckpointMismatch(f"{path} lacks the tensor {missing[0]}; delete it.")
    for name, parameter in parameters.items():
        parameter.data.copy_(saved[f"weights/{name}"])
        state = {
            moment: saved[f"{moment}/{name}"] for moment in _MOMENTS if f"{moment}/{name}" in saved
        }
        if state:
            optimizer.state[parameter] = state
    return Position(metadata["step"], metadata["tokens_seen"])


def run_identity(
    settings: TrainingSettings,
    space: SubSpace,
    teacher: Teacher,
    passages: Passages,
    start: Start,
    processes: int,
) -> str:
    """Hash of what must be the same for a run to be resumed.

    Args:
        settings: The settings.
        space: The sub-space.
        teacher: The teacher.
        passages: Text to train on.
        start: Where the SuperLM starts.
        processes: How many train together.
    """
    parts = (settings.model_dump_json(), space.model_dump_json(), teacher.identity, processes)
    whole = f"{parts} {start.kept_layers} {start.teacher_layers} {passages.sha256}"
    return hashlib.sha256(whole.encode()).hexdigest()
