"""SuperLMs of a running service: register, list, name, deprecate, delete."""

import re
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from autodistil.errors import InvalidInput
from autodistil.extraction.export import pack
from autodistil.superlm.bundle import open_superlm
from cli.options import DEFAULT_URL, Url, read_api_key
from cli.output import JsonOption, errors, print_json, print_table
from client import Client

app = typer.Typer(help="Register and look after the SuperLMs of a service.", no_args_is_help=True)

Reference = Annotated[str, typer.Argument(help="name@version")]


@app.command("register")
def register(
    source: Annotated[
        str,
        typer.Argument(
            help="A bundle's folder or tar.gz archive on this machine, which is sent; the URL of "
            "an archive (with --sha256); or with --on-server a folder there."
        ),
    ],
    sha256: Annotated[str | None, typer.Option(help="Hash of the archive.")] = None,
    on_server: Annotated[bool, typer.Option(help="SOURCE is a folder on the server.")] = False,
    timeout: Annotated[float, typer.Option(help="Seconds to wait until it is ready.")] = 600.0,
    url: Url = DEFAULT_URL,
    json_: JsonOption = False,
) -> None:
    """Register a SuperLM with a running service, and wait until it is ready.

    The API key is read from the environment variable AUTODISTIL_API_KEY; it needs the scope admin.
    """
    with (
        Client(url, read_api_key()) as client,
        tempfile.TemporaryDirectory() as folder,
        errors.status("registering"),
    ):
        named = _named_source(source, on_server, Path(folder) / "bundle.tar.gz")
        begun = client.admin.register_superlm(**named, sha256=sha256)
        done = client.admin.wait_registration(begun["id"], timeout)
    if json_:
        print_json(done)
    else:
        print(f"{done['superlm']} is ready")


def _named_source(source: str, on_server: bool, archive: Path) -> dict[str, Any]:
    if on_server:
        return {"path": source}
    if re.match(r"https?://", source):
        return {"url": source}
    path = Path(source)
    if path.is_dir():
        open_superlm(path)  # a fault is better found before all of it was sent
        pack(path, archive)
        path = archive
    elif not path.is_file():
        raise InvalidInput(f"There is no bundle {source} on this machine; see --on-server.")
    return {"upload": path}


@app.command("list")
def list_superlms(url: Url = DEFAULT_URL, json_: JsonOption = False) -> None:
    """List the SuperLMs of a running service."""
    with Client(url, read_api_key()) as client:
        found = client.superlms()
    if json_:
        print_json(found)
        return
    rows = [
        {
            **one,
            "least": one["envelope"]["macs"]["least"],
            "most": one["envelope"]["macs"]["most"],
            "deprecated": one["deprecated"] or "",
        }
        for one in found
    ]
    columns = {"superlm": "superlm", "teacher": "teacher", "students": "students"}
    columns |= {"least MACs": "least", "most MACs": "most", "deprecated": "deprecated"}
    print_table(f"{len(rows)} SuperLMs", rows, columns)


@app.command("alias")
def alias(
    reference: Reference,
    alias: Annotated[str, typer.Argument(help="The alias, such as stable.")],
    delete: Annotated[
        bool, typer.Option("--delete", help="Forget the alias; the version stays.")
    ] = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Point an alias to a version: name@alias then stands for it."""
    name, version = _split(reference)
    with Client(url, read_api_key()) as client:
        if delete:
            client.admin.delete_alias(name, alias)
            print(f"{name}@{alias} is forgotten")
        else:
            client.admin.set_alias(name, alias, version)
            print(f"{name}@{alias} is {name}@{version}")


@app.command("deprecate")
def deprecate(
    reference: Reference,
    reason: Annotated[str | None, typer.Option(help="Why it should not be used any more.")] = None,
    undo: Annotated[bool, typer.Option(help="It may be used again.")] = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Have a version chosen only by who names it."""
    _split(reference)
    if (reason is None) != undo:
        raise InvalidInput("Give either --reason or --undo.")
    with Client(url, read_api_key()) as client:
        client.admin.deprecate_superlm(reference, reason)
    print(f"{reference} is " + ("no longer deprecated" if undo else "deprecated"))


@app.command("delete")
def delete(reference: Reference, url: Url = DEFAULT_URL) -> None:
    """Delete a version; refused while an alias or an extraction under way needs it."""
    _split(reference)
    with Client(url, read_api_key()) as client:
        client.admin.delete_superlm(reference)
    print(f"{reference} is deleted")


def _split(reference: str) -> tuple[str, int]:
    name, _, version = reference.partition("@")
    if not name or not (version.isascii() and version.isdecimal()) or len(version) > 7:
        raise InvalidInput(f"{reference!r} names no version; write name@version.")
    return name, int(version)
