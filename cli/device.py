"""Devices: measure how fast students run on one, so that budgets can limit latency there."""

from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import TypeAdapter, ValidationError

from autodistil.errors import InvalidInput, explain
from autodistil.latency.conditions import Conditions, DeviceName
from autodistil.latency.device_profile import (
    DeviceProfile,
    ProfilingRequest,
    read_profile,
    write_profile,
)
from autodistil.quiet import quiet_transformers
from cli.latency_options import read_conditions
from cli.options import DEFAULT_URL, RETRIES, Bundles, Url, open_bundles, read_api_key
from cli.output import JsonOption, errors, print_json, print_table, progress
from client import Client

app = typer.Typer(
    help="Measure how fast students run on a device; list what is known.", no_args_is_help=True
)

_KEYS = ("batch_size", "sequence_length", "dtype", "runtime", "threads")


@app.command("profile")
def profile(
    name: Annotated[str, typer.Option(help="Name of the device, such as local-cpu.")],
    bundles: Bundles = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Measure on this machine, without a service, into this JSON file."),
    ] = None,
    conditions: Annotated[
        list[str] | None,
        typer.Option(
            help="Measure under these, such as batch_size=8,runtime=onnxruntime; also "
            "sequence_length, dtype, and threads. Can be given several times."
        ),
    ] = None,
    students: Annotated[int, typer.Option(help="How many students to measure.")] = 48,
    rounds: Annotated[int, typer.Option(help="How often each has its turn.")] = 15,
    runs: Annotated[int, typer.Option(help="Timed forwards per turn.")] = 4,
    url: Url = DEFAULT_URL,
    json_: JsonOption = False,
) -> None:
    """Measure students of all sizes on a device and fit what predicts the others.

    By default a running service has a worker on the device do it (started with AUTODISTIL_DEVICE;
    'autodistil up' calls its own local-cpu), and keeps the profile; it takes an admin key from
    AUTODISTIL_API_KEY. With --out this machine is measured, with the students of some bundles.
    """
    try:
        name = TypeAdapter[str](DeviceName).validate_python(name)
        request = ProfilingRequest.model_validate(
            {
                "conditions": [read_conditions(text, _KEYS) for text in conditions or [""]],
                "students": students,
                "effort": {"rounds": rounds, "runs": runs},
            }
        )
    except ValidationError as error:
        raise InvalidInput(f"The profiling asked for: {explain(error)}.") from error
    if out is not None:
        found = _measure_here(name, bundles, request)
        write_profile(found, out)
        described = found.summary()
    elif bundles:
        raise InvalidInput(
            "A service measures students of its own SuperLMs; leave out the bundles."
        )
    else:
        described = _ask_service(name, request, url)
    if json_:
        print_json(described)
    else:
        _print(f"device {name}" + (f", in {out}" if out else ""), [described])


def _measure_here(
    name: str, bundles: list[Path] | None, request: ProfilingRequest
) -> DeviceProfile:
    specs = [superlm.spec for superlm in open_bundles(bundles).values()]
    with errors.status("loading torch"):
        import torch

        from autodistil.profiling.device import profile_spaces

        quiet_transformers()
    with progress() as bar:
        task = bar.add_task("profiling", total=None, note="turns")
        return profile_spaces(
            name,
            specs,
            request,
            torch.get_num_threads(),
            on_turn=lambda turn, turns: bar.update(task, completed=turn, total=turns),
        )


def _ask_service(name: str, request: ProfilingRequest, url: str) -> dict[str, Any]:
    with Client(url, read_api_key(), retries=RETRIES) as client, progress() as bar:
        task = bar.add_task("profiling", total=100, note="")
        device = client.profile_device(
            name,
            request.model_dump(mode="json"),
            on_progress=lambda device: bar.update(
                task, completed=device["percent"], note=device["state"]
            ),
        )
    summary = DeviceProfile.model_validate(device["profile"]).summary()
    return {**summary, "state": device["state"]}


@app.command("list")
def list_devices(
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="Profiles on disk; by default the devices of a running service."),
    ] = None,
    url: Url = DEFAULT_URL,
    json_: JsonOption = False,
) -> None:
    """List devices with what is known of them."""
    if files:
        found = [read_profile(file).summary() for file in files]
    else:
        with Client(url, read_api_key(), retries=RETRIES) as client:
            found = client.devices()
    if json_:
        print_json(found)
    else:
        _print(
            f"{len(found)} device{'s' * (len(found) != 1)}",
            [{**device, **(device.get("profile") or {})} for device in found],
        )


def _print(title: str, devices: list[dict[str, Any]]) -> None:
    rows = []
    for device in devices:
        about = {"device": device["name"], "state": device.get("state", "")}
        about["cpu"] = device["machine"]["cpu"] if "machine" in device else ""
        rows += [
            {
                **about,
                "conditions": str(Conditions.model_validate(known["conditions"])),
                "students": known["students"],
                "range": f"{known['least_p50_ms']:.2f} to {known['most_p50_ms']:.2f}",
                "error": f"{known['median_error']:.1%} / {known['p90_error']:.1%}",
            }
            for known in device.get("profiled", [])
        ] or [{**about, **dict.fromkeys(("conditions", "students", "range", "error"), "")}]
    columns = {key: key for key in ("device", "state", "cpu", "conditions", "students")}
    columns |= {"p50 ms": "range", "error (median / p90)": "error"}
    print_table(title, rows, columns)
