"""API keys of a running service: make, list, revoke."""

from enum import StrEnum
from typing import Annotated

import typer

from cli.options import DEFAULT_URL, RETRIES, Url, read_api_key
from cli.output import JsonOption, errors, print_json, print_table
from client import Client

app = typer.Typer(help="Make and revoke the API keys of a service.", no_args_is_help=True)


class Scope(StrEnum):
    """What a key may do."""

    EXTRACT = "extract"
    ADMIN = "admin"


@app.command("create")
def create(
    label: Annotated[str, typer.Argument(help="What the key is for, such as 'search team'.")],
    scope: Annotated[
        list[Scope],
        typer.Option(help="What it may do: ask for students, or all of that and what admins do."),
    ] = [Scope.EXTRACT],  # noqa: B006 -- nobody changes it
    requests_per_minute: Annotated[
        int | None,
        typer.Option(min=0, help="0 is no limit; by default what the service's settings say."),
    ] = None,
    extractions_per_day: Annotated[
        int | None,
        typer.Option(min=0, help="0 is no limit; by default what the service's settings say."),
    ] = None,
    url: Url = DEFAULT_URL,
    json_: JsonOption = False,
) -> None:
    """Make a key and print it; it is shown this once.

    Standard output holds the key alone. The API key of the call is read from the environment
    variable AUTODISTIL_API_KEY; like the other commands here it needs the scope admin.
    """
    with Client(url, read_api_key(), retries=RETRIES) as client:
        made = client.admin.create_api_key(
            label,
            [one.value for one in scope],
            requests_per_minute=requests_per_minute,
            extractions_per_day=extractions_per_day,
        )
    if json_:
        print_json(made)
        return
    print(made["key"])
    errors.print(
        f"The key is not shown again. Revoke it with: autodistil keys revoke {made['id']}",
        soft_wrap=True,
        highlight=False,
    )


@app.command("list")
def list_keys(url: Url = DEFAULT_URL, json_: JsonOption = False) -> None:
    """List all keys without their secrets, the newest first; revoked ones, too."""
    with Client(url, read_api_key(), retries=RETRIES) as client:
        found = list(client.admin.api_keys())
    if json_:
        print_json(found)
        return
    rows = [
        {
            **one,
            "scopes": ", ".join(one["scopes"]),
            "revoked_at": one["revoked_at"] or "",
            **{
                limit: _shown(one[limit])
                for limit in ("requests_per_minute", "extractions_per_day")
            },
        }
        for one in found
    ]
    columns = {"id": "id", "prefix": "prefix", "label": "label", "scopes": "scopes"}
    columns |= {"per minute": "requests_per_minute", "per day": "extractions_per_day"}
    print_table(f"{len(rows)} keys", rows, columns | {"revoked": "revoked_at"})


def _shown(limit: int | None) -> str:
    return "" if limit is None else f"{limit:,}" if limit else "no limit"


@app.command("revoke")
def revoke(
    key_id: Annotated[str, typer.Argument(help="The key's id; 'autodistil keys list' says it.")],
    url: Url = DEFAULT_URL,
) -> None:
    """Make a key invalid for good."""
    with Client(url, read_api_key(), retries=RETRIES) as client:
        client.admin.revoke_api_key(key_id)
    print(f"{key_id} is revoked")
