"""What lists that are read a page at a time have in common."""

from typing import Annotated

from pydantic import Field

from service.schemas.base import StrictRequest

ID_PATTERN = r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"
"""Of ids made by `database.tables.new_id`."""

Cursor = Annotated[
    str | None, Field(pattern=ID_PATTERN, description="`next_cursor` of the page before.")
]


class PageQuery(StrictRequest):
    """Which page of a list is wanted."""

    limit: Annotated[int, Field(ge=1, le=100)] = 20
    cursor: Cursor = None
