"""Ask a running service for a student, and download it."""

from pathlib import Path
from typing import Annotated, Any

import typer

from autodistil.spaces.embedding import Vectors
from cli.domain import TextFile, read_text
from cli.latency_options import DeviceOption, LatencyMs, LimitConditions, latency_limit
from cli.options import (
    DEFAULT_URL,
    RETRIES,
    Flops,
    Macs,
    Params,
    SizeBytes,
    Url,
    VectorsOption,
    build_budget,
    read_api_key,
)
from cli.output import JsonOption, print_json, print_receipt
from client import Client


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
    latency: LatencyMs = None,
    device: DeviceOption = None,
    conditions: LimitConditions = None,
    vectors: VectorsOption = Vectors.TEACHER,
    text: TextFile = None,
    timeout: Annotated[float, typer.Option(min=0, help="Seconds to wait for the student.")] = 600.0,
    url: Url = DEFAULT_URL,
    json_: JsonOption = False,
) -> None:
    """Ask a running service for a student, and download it.

    The API key is read from the environment variable AUTODISTIL_API_KEY.
    """
    api_key = read_api_key()
    limit = latency_limit(latency, device, conditions)
    budget = build_budget(macs, flops, params, size_bytes, limit)
    request: dict[str, Any] = {
        "budget": budget.model_dump(exclude_none=True),
        "vectors": vectors.value,
    }
    request |= {k: v for k, v in (("teacher", teacher), ("superlm", superlm)) if v is not None}
    if text is not None:
        request["text"] = read_text(text)
    with Client(url, api_key, retries=RETRIES) as client:
        student = client.extract(request, out, timeout=timeout)
    if json_:
        print_json(student.extraction)
    else:
        print_receipt(student.receipt, str(out))
