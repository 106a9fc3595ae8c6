"""Options that several commands share."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from autodistil.errors import InvalidInput
from autodistil.evaluation.quality import Score
from autodistil.search.budget import Budget, read_budget
from autodistil.spaces.embedding import Vectors
from autodistil.superlm.bundle import SuperLM, open_superlm
from client import RetryPolicy

_AMOUNT = "At most so much: a number, with K, M or G, or a share of the teacher such as 40%."

Macs = Annotated[str | None, typer.Option(help=f"MACs of the encoder at 128 tokens. {_AMOUNT}")]
Flops = Annotated[str | None, typer.Option(help=f"FLOPs, 2 x MACs. {_AMOUNT}")]
Params = Annotated[str | None, typer.Option(help=f"Parameters. {_AMOUNT}")]
SizeBytes = Annotated[
    str | None, typer.Option("--size-bytes", help=f"Bytes of the fp32 weights. {_AMOUNT}")
]
Bundles = Annotated[
    list[Path] | None,
    typer.Argument(help="SuperLM bundles; the shipped ones by default.", show_default=False),
]

ScoreOption = Annotated[
    Score,
    typer.Option(
        help="What is best: quality (the estimate), loss (what was trained, on held-out text), "
        "or params (the largest)."
    ),
]

VectorsOption = Annotated[
    Vectors,
    typer.Option(
        help="Of students of a sentence embedder: teacher puts their vectors into the teacher's "
        "space, own leaves them as narrow as the student."
    ),
]

DEFAULT_URL = "http://127.0.0.1:8000"
Url = Annotated[str, typer.Option(help="Where the service is.", envvar="AUTODISTIL_URL")]


RETRIES = RetryPolicy(retries=4)
"""Somebody sits before the command line: a service that is not there is said to be after 3 s."""


def read_api_key() -> str:
    """The API key of the environment variable AUTODISTIL_API_KEY.

    Raises:
        InvalidInput: There is none.
    """
    api_key = os.environ.get("AUTODISTIL_API_KEY", "")
    if not api_key:
        raise InvalidInput(
            "Set AUTODISTIL_API_KEY; 'autodistil up' writes one to admin-key in its data folder."
        )
    return api_key


def build_budget(
    macs: str | None,
    flops: str | None,
    params: str | None,
    size_bytes: str | None,
    latency: dict[str, Any] | None = None,
) -> Budget:
    """The budget of the options; at least one must be given."""
    return read_budget(
        macs=macs, flops=flops, params=params, size_bytes=size_bytes, latency=latency
    )


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


def comparison_warnings(superlms: Iterable[SuperLM]) -> list[str]:
    """What a user must know before the scores of these SuperLMs are compared."""
    texts = {superlm.spec.provenance.held_out_sha256 for superlm in superlms}
    if len(texts) < 2:
        return []
    return [
        "These SuperLMs were scored on different text, so that their qualities and losses cannot "
        "be compared with each other; 'autodistil rescore' makes them alike."
    ]
