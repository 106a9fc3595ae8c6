"""Lists of extractions."""

import datetime
import re
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, Field

from database.extraction_list import Filters
from database.tables import State
from service.schemas.base import StrictRequest
from service.schemas.extractions import Extraction
from service.schemas.plans import TeacherName

_ID = r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"
_SUPERLM = r"^[a-z0-9][a-z0-9._-]{0,63}(@[0-9]{1,7})?$"


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


class ExtractionQuery(StrictRequest):
    """Which extractions are listed: those that meet all that is given."""

    limit: Annotated[int, Field(ge=1, le=100)] = 20
    cursor: Annotated[
        str | None, Field(pattern=_ID, description="`next_cursor` of the page before.")
    ] = None
    state: Annotated[
        list[State], Field(max_length=len(State), description="In one of these states.")
    ] = []  # noqa: RUF012 -- pydantic copies it
    superlm: Annotated[
        str | None,
        Field(
            pattern=_SUPERLM,
            description="The student came from this SuperLM: `name` or `name@version`.",
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
