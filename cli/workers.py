"""The workers of a running service."""

from cli.options import DEFAULT_URL, RETRIES, Url, read_api_key
from cli.output import JsonOption, print_json, print_table
from client import Client


def command(url: Url = DEFAULT_URL, json_: JsonOption = False) -> None:
    """List the workers of a running service; the API key needs the scope admin."""
    with Client(url, read_api_key(), retries=RETRIES) as client:
        found = client.admin.workers()
    if json_:
        print_json(found)
        return
    rows = [
        {
            **one,
            "alive": "yes" if one["alive"] else "no",
            "device": one["device"] or "",
            "threads": one["threads"] or "all",
            "cpu": one["machine"]["cpu"],
            "busy_with": ", ".join(one["busy_with"]),
        }
        for one in found
    ]
    columns = {"worker": "name", "alive": "alive", "device": "device", "threads": "threads"}
    columns |= {"cpu": "cpu", "busy with": "busy_with", "last seen": "seen_at"}
    print_table(f"{len(rows)} worker{'s' * (len(rows) != 1)}", rows, columns)
