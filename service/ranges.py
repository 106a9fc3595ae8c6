"""Which part of a file a request asks for (RFC 9110, section 14).

One range at a time: a request for several is answered with the whole file, as it may be, because
many overlapping ones cost a server more than they cost the client (CVE-2025-62727).
"""

import re
from dataclasses import dataclass

from autodistil.errors import AutoDistilError

_ONE_RANGE = re.compile(r"bytes=[ \t]*([0-9]*)-([0-9]*)[ \t]*", re.IGNORECASE | re.ASCII)
_LONGEST_NUMBER = 18
"""Digits; Python refuses to read numbers of thousands of them, and no file is that long."""


class RangeNotSatisfiable(AutoDistilError):
    """A request for a part that begins behind the end of the file."""

    status = 416
    type = "range-not-satisfiable"
    title = "The file has no such part"


@dataclass(frozen=True)
class Part:
    """A part of a file that is not empty.

    Attributes:
        first: Its first byte, counted from 0.
        last: Its last byte.
    """

    first: int
    last: int

    def header(self) -> str:
        """The part as a `Range` header asks for it."""
        return f"bytes={self.first}-{self.last}"


def requested_part(header: str | None, size: int) -> Part | None:
    """The part that a `Range` header asks for.

    Args:
        header: Such as `bytes=0-99`, `bytes=100-` for all from there on, or `bytes=-100` for the
            last 100 bytes.
        size: Bytes of the whole file.

    Returns:
        The part, or None for the whole file: if there is no header, or one that is malformed, of
        another unit, or names several ranges.

    Raises:
        RangeNotSatisfiable: The file ends before the part begins.
    """
    found = _ONE_RANGE.fullmatch(header or "")
    if found is None:
        return None
    first, last = (_number(text) for text in found.groups())
    if first is None and last is None:
        return None
    if first is None:
        first, last = max(0, size - (last or 0)), size - 1
    elif last is None:
        last = size - 1
    elif last < first:
        return None
    if first >= size:
        raise RangeNotSatisfiable(f"The file has {size:,} bytes.", size_bytes=size)
    return Part(first, min(last, size - 1))


def _number(text: str) -> int | None:
    if not text:
        return None
    return int(text) if len(text) <= _LONGEST_NUMBER else 10**_LONGEST_NUMBER
