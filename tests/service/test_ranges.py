"""Ranges and conditions, as functions of headers."""

import datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.preconditions import PreconditionFailed, http_date, is_unchanged, range_applies
from service.ranges import Part, RangeNotSatisfiable, requested_part

CONTENT = bytes(range(256)) * 4
ETAG = '"' + "ab" * 32 + '"'
TIME = datetime.datetime(2026, 1, 5, 8, 0, 0, 250_000, tzinfo=datetime.UTC)
SECOND = datetime.timedelta(seconds=1)

positions = st.integers(0, len(CONTENT) + 10)


def served(header: str) -> bytes | None:
    """What is sent for a Range header, or None if it is refused."""
    try:
        part = requested_part(header, len(CONTENT))
    except RangeNotSatisfiable:
        return None
    return CONTENT if part is None else CONTENT[part.first : part.last + 1]


@given(positions, positions)
def test_any_range_is_the_slice_of_the_file(first: int, last: int) -> None:
    wanted = CONTENT[first : last + 1] if first < len(CONTENT) else None
    assert served(f"bytes={first}-{last}") == (CONTENT if last < first else wanted)
    assert served(f"bytes={first}-") == (CONTENT[first:] if first < len(CONTENT) else None)
    tail = CONTENT[max(0, len(CONTENT) - last) :]
    assert served(f"bytes=-{last}") == (tail or None)


@given(st.text(st.sampled_from("bytes=0123456789-, \t"), max_size=30))
def test_no_header_fails_or_names_a_part_outside_the_file(header: str) -> None:
    try:
        part = requested_part(header, len(CONTENT))
    except RangeNotSatisfiable:
        return
    assert part is None or 0 <= part.first <= part.last < len(CONTENT)


@given(st.lists(st.tuples(positions, positions), min_size=2, max_size=5))
def test_several_ranges_are_answered_with_the_whole_file(pairs: list[tuple[int, int]]) -> None:
    header = "bytes=" + ",".join(f"{first}-{last}" for first, last in pairs)
    assert requested_part(header, len(CONTENT)) is None


@pytest.mark.parametrize(
    "header",
    [None, "", "bytes", "bytes=", "bytes=-", "bytes=a-b", "lines=0-1", "bytes=1", "bytes=3-2", "x"],
)
def test_what_cannot_be_read_is_ignored(header: str | None) -> None:
    assert requested_part(header, 10) is None


def test_numbers_that_no_integer_holds_are_read_all_the_same() -> None:
    huge = "9" * 5000
    assert requested_part(f"bytes=3-{huge}", 10) == Part(3, 9)
    assert requested_part(f"bytes=-{huge}", 10) == Part(0, 9)
    with pytest.raises(RangeNotSatisfiable):
        requested_part(f"bytes={huge}-", 10)
    with pytest.raises(RangeNotSatisfiable):
        requested_part("bytes=0-", 0)


@pytest.mark.parametrize(
    ("headers", "unchanged"),
    [
        ({}, False),
        ({"if-none-match": ETAG}, True),
        ({"if-none-match": "W/" + ETAG}, True),
        ({"if-none-match": '"x", ' + ETAG}, True),
        ({"if-none-match": "*"}, True),
        ({"if-none-match": '"x"'}, False),
        ({"if-none-match": ETAG.strip('"')}, False),
        ({"if-modified-since": http_date(TIME)}, True),
        ({"if-modified-since": http_date(TIME - SECOND)}, False),
        ({"if-modified-since": "yesterday"}, False),
        ({"if-none-match": '"x"', "if-modified-since": http_date(TIME)}, False),
        ({"if-match": ETAG}, False),
        ({"if-match": "*"}, False),
        ({"if-match": '"x", ' + ETAG, "if-none-match": ETAG}, True),
        ({"if-unmodified-since": http_date(TIME)}, False),
        ({"if-match": ETAG, "if-unmodified-since": http_date(TIME - SECOND)}, False),
    ],
)
def test_a_client_that_has_the_content_is_told_so(headers: dict[str, str], unchanged: bool) -> None:
    assert is_unchanged(headers, ETAG, TIME) is unchanged


@pytest.mark.parametrize(
    "headers",
    [
        {"if-match": '"x"'},
        {"if-match": "W/" + ETAG},
        {"if-match": ""},
        {"if-unmodified-since": http_date(TIME - SECOND)},
    ],
)
def test_a_condition_that_does_not_hold_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(PreconditionFailed):
        is_unchanged(headers, ETAG, TIME)


@pytest.mark.parametrize(
    ("condition", "applies"),
    [
        (None, True),
        (ETAG, True),
        ("W/" + ETAG, False),
        ('"x"', False),
        (http_date(TIME), True),
        (http_date(TIME + SECOND), False),
        (http_date(TIME - SECOND), False),
        ("soon", False),
    ],
)
def test_a_part_is_sent_only_of_the_content_that_the_client_began_with(
    condition: str | None, applies: bool
) -> None:
    headers = {} if condition is None else {"if-range": condition}
    assert range_applies(headers, ETAG, TIME) is applies


def test_dates_are_those_of_http() -> None:
    east = TIME.astimezone(datetime.timezone(datetime.timedelta(hours=5)))
    assert http_date(east) == "Mon, 05 Jan 2026 08:00:00 GMT" == format_datetime(TIME, usegmt=True)
