"""Hashes of requests: which of them must have the same result, and which are the same."""

import hashlib
import json
from collections.abc import Iterable
from typing import Any

import autodistil
from database.tables import SuperLMRow

FORMAT = 1
"""To be counted up when requests get another result than before without another version."""


def fingerprint_of(
    request: dict[str, Any], rows: Iterable[SuperLMRow], profile: dict[str, Any] | None
) -> str:
    """Hash of everything that decides the result of a request.

    The names by which SuperLMs were asked for do not: requests that lead to the same of them by
    different names have the same result.

    Args:
        request: The request as it is kept, with the hash of its text.
        rows: The SuperLMs to choose from.
        profile: Of the device that the latency limit names, if there is one.
    """
    asked = {name: value for name, value in request.items() if name not in ("teacher", "superlm")}
    decides = {
        "format": FORMAT,
        "version": autodistil.__version__,
        "request": asked | {"formats": sorted(request["formats"])},
        "superlms": sorted(row.sha256 for row in rows),
        "profile": hash_of(profile),
    }
    return hash_of(decides)


def hash_of(content: Any) -> str:
    """Hash of a JSON value, whatever the order of its members."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
