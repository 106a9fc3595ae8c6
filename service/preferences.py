"""The `Prefer` header (RFC 7240): what a client would like, and which of it was done."""

import re
from typing import Annotated

from fastapi import Depends, Header, Request

MAX_WAIT_SECONDS = 60

_WAIT = re.compile(r'\s*wait\s*=\s*"?([0-9]{1,9})"?\s*(;.*)?', re.IGNORECASE)


async def _wait_seconds(  # not worth a thread
    request: Request,
    prefer: Annotated[
        str | None,
        Header(
            description="`wait=N` holds the answer until the job has ended, for N seconds at most "
            f"(1 to {MAX_WAIT_SECONDS}). `Preference-Applied` says that it was done; what cannot "
            "be done is ignored.",
            examples=["wait=30"],
        ),
    ] = None,
) -> int | None:
    for preference in ",".join(request.headers.getlist("prefer")).split(","):
        match = _WAIT.fullmatch(preference)
        if match and int(match[1]) > 0:
            return min(int(match[1]), MAX_WAIT_SECONDS)
    return None


WaitSeconds = Annotated[int | None, Depends(_wait_seconds)]
"""How long the client would like to wait for the end of a job, in seconds."""


def applied(seconds: int | None) -> dict[str, str]:
    """Headers that say what was done."""
    return {} if seconds is None else {"Preference-Applied": f"wait={seconds}"}
