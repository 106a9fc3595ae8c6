"""Conditions on requests for something that has a strong ETag (RFC 9110, section 13)."""

import datetime
import email.utils
import re
from collections.abc import Mapping

from autodistil.errors import AutoDistilError

_TAG = re.compile(r'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')


class PreconditionFailed(AutoDistilError):
    """A request that should be answered only if something had not changed, but it has."""

    status = 412
    type = "precondition-failed"
    title = "A condition of the request does not hold"


def is_unchanged(headers: Mapping[str, str], etag: str, modified: datetime.datetime) -> bool:
    """Whether the client has what it asks for: the answer is then 304, without content.

    Args:
        headers: Of the request.
        etag: Strong, with its quotes.
        modified: When the content came to be.

    Raises:
        PreconditionFailed: `If-Match` or `If-Unmodified-Since` does not hold.
    """
    modified = modified.replace(microsecond=0)  # as the headers tell it
    if (wanted := headers.get("if-match")) is not None:
        holds = _lists(wanted, etag, weak=False)
    else:
        since = _time(headers.get("if-unmodified-since"))
        holds = since is None or modified <= since
    if not holds:
        raise PreconditionFailed(f"The content is not what was asked for; its ETag is {etag}.")
    if (known := headers.get("if-none-match")) is not None:
        return _lists(known, etag, weak=True)
    since = _time(headers.get("if-modified-since"))
    return since is not None and modified <= since


def range_applies(headers: Mapping[str, str], etag: str, modified: datetime.datetime) -> bool:
    """Whether `If-Range` allows to send a part; if not, the whole is sent."""
    condition = headers.get("if-range")
    if condition is None or condition == etag:
        return True
    return _time(condition) == modified.replace(microsecond=0)


def http_date(time: datetime.datetime) -> str:
    """A point in time as headers tell it."""
    return email.utils.format_datetime(time.astimezone(datetime.UTC), usegmt=True)


def _lists(header: str, etag: str, *, weak: bool) -> bool:
    """Whether a list of ETags names one; a weak tag is the same only where that is enough."""
    if header.strip() == "*":
        return True
    return any(tag == etag and (weak or not mark) for mark, tag in _TAG.findall(header))


def _time(header: str | None) -> datetime.datetime | None:
    """A date of a header; one that cannot be read is as good as none."""
    try:
        time = email.utils.parsedate_to_datetime(header or "")
    except (ValueError, OverflowError):
        return None
    return time if time.tzinfo else time.replace(tzinfo=datetime.UTC)
