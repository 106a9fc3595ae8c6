"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from autodistil.budget import Budget, read_budget
from autodistil.errors import InvalidInput
from autodistil.superlm import SuperLM, open_superlm

_AMOUNT = "At most so much: a number, with K, M or G, or a share of the teacher such as 40%."

Macs = Annotated[str | None, typer.Option(help=f"MACs of the encoder at 128 tokens. {_AMOUNT}")]
Flops = Annotated[str | None, typer.Option(help=f"FLOPs, 2 x MACs. {_AMOUNT}")]
Params = Annotated[str | None, typer.Option(help=f"Parameters. {_AMOUNT}")]
SizeBytes = Annotated[
    str | None, typer.Option("--size-bytes", help=f"Bytes of the fp32 weights file. {_AMOUNT}")
]
Bundles = Annotated[
    list[Path] | None,
    typer.Argument(help="SuperLM bundles; the shipped ones by default.", show_default=False),
]


def build_budget(
    macs: str | None, flops: str | None, params: str | None, size_bytes: str | None
) -> Budget:
    """The budget of the options; at least one must be given."""
    return read_budget(macs=macs, flops=flops, params=params, size_bytes=size_bytes)


def open_bundles(paths: list[Path] | None) -> dict[str, SuperLM]:
    """The bundles by `name@version`; the shipped ones if none is named."""
    from models_store import shipped_bundles

    opened: dict[str, SuperLM] = {}
    for path in paths or shipped_bundles():
        superlm = open_superlm(path)
        if superlm.spec.reference in opened:
            raise InvalidInput(f"{superlm.spec.reference} is named twice.")
        opened[superlm.spec.reference] = superlm
    return opened
