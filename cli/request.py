"""Ask a running service for a student, and download it."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from autodistil.errors import InvalidInput
from cli.options import Flops, Macs, Params, SizeBytes, build_budget
from cli.output import JsonOption, print_json, print_receipt, progress
from client import Client

_DEFAULT_URL = "http://127.0.0.1:8000"


def command(
    out: Annotated[Path, typer.Option(help="Folder for the student; must be empty or missing.")],
    teacher: Annotated[
        str | None, typer.Option(help="Choose among this teacher's SuperLMs.")
    ] = None,
    superlm: Annotated[
        str | None, typer.Option(help="Choose in this SuperLM: name or name@version.")
    ] = None,
    macs: Macs = None,
    flops: Flops = None,
    params: Params = None,
    size_bytes: SizeBytes = None,
    url: Annotated[
        str, typer.Option(help="Where the service is.", envvar="AUTODISTIL_URL")
    ] = _DEFAULT_URL,
    json_: JsonOption = False,
) -> None:
    """Ask a running service for a student, and download it.

    The API key is read from the environment variable AUTODISTIL_API_KEY.
    """
    api_key = os.environ.get("AUTODISTIL_API_KEY", "")
    if not api_key:
        raise InvalidInput(
            "Set AUTODISTIL_API_KEY; 'autodistil up' writes one to admin-key in its data folder."
        )
    budget = build_budget(macs, flops, params, size_bytes)
    request: dict[str, Any] = {"budget": budget.model_dump(exclude_none=True)}
    request |= {k: v for k, v in (("teacher", teacher), ("superlm", superlm)) if v is not None}
    with Client(url, api_key) as client, progress() as bar:
        task = bar.add_task("student", total=100, note="")

        def on_progress(extraction: dict[str, Any]) -> None:
            bar.update(task, completed=extraction["percent"], note=extraction["state"])

        extraction = client.extract(request, out, on_progress)
    if json_:
        print_json(extraction)
    else:
        print_receipt(extraction["receipt"], str(out))
