"""Lists of extractions."""

import datetime
import re
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, Field

from database.extraction_list import Filters
from database.tables import State
from service.schemas.extractions import Extraction
from service.schemas.pages import PageQuery
from service.schemas.plans import SuperLMReference, TeacherName


def _to_utc(time: datetime.datetime) -> datetime.datetime:
    try:
        return time.astimezone(datetime.UTC)
    except OverflowError as error:
        raise ValueError("must lie in the years 1 to 9999 in UTC") from error


def _refuse_number(time: object) -> object:
    # pydantic takes a number for the seconds since 1970.
    if isinstance(time, str) and not re.match(r"[0-9]{4}-", time):
        raise ValueError("must be a date and time, such as 2026-01-05T08:00:00Z")
    return time


UtcTime = Annotated[AwareDatetime, BeforeValidator(_refuse_number), AfterValidator(_to_utc)]
"""A time that says its zone."""


class ExtractionQuery(PageQuery):
    """Which extractions are listed: those that meet all that is given."""

    state: Annotated[
        list[State], Field(max_length=len(State), description="In one of these states.")
    ] = []  # noqa: RUF012 -- pydantic copies it
    superlm: Annotated[
        SuperLMReference | None,
        Field(
            description="The student came from this SuperLM: `name` for any version of it, "
            "`name@version`, `name@latest`, or `name@alias`.",
        ),
    ] = None
    teacher: Annotated[
        TeacherName | None, Field(description="The student's, or the one asked for.")
    ] = None
    created_after: Annotated[
        UtcTime | None, Field(description="Created at this time or later.")
    ] = None
    created_before: Annotated[UtcTime | None, Field(description="Created before this time.")] = None
    mine: Annotated[bool, Field(description="Asked for with the API key of this request.")] = False

    def filters(self, api_key_id: str) -> Filters:
        """As the database takes them; `api_key_id` is who asks."""
        return Filters(
            states=self.state,
            superlm=self.superlm,
            teacher=self.teacher,
            created_after=self.created_after,
            created_before=self.created_before,
            api_key_id=api_key_id if self.mine else None,
        )


class ExtractionList(BaseModel):
    """A page of extractions, the newest first."""

    items: list[Extraction]
    next_cursor: str | None
