"""Lists of extractions: the newest first, filtered, a page at a time."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.orm import Session

from database import superlms
from database.pages import Page, newest_first
from database.tables import ExtractionRow, State, SuperLMRow


@dataclass(frozen=True)
class Filters:
    """Which extractions are listed: those that meet all that is given.

    Attributes:
        states: In one of these states; in any if empty.
        superlm: The student came from this SuperLM: `name` for any version of it, or a reference
            of one version, `name@version`, `name@latest`, or `name@alias`.
        teacher: It was asked for by this teacher, or the student came from a SuperLM of it.
        created_after: Created at this time or later.
        created_before: Created before this time.
        api_key_id: Asked for with this API key.
    """

    states: Sequence[State] = ()
    superlm: str | None = None
    teacher: str | None = None
    created_after: datetime.datetime | None = None
    created_before: datetime.datetime | None = None
    api_key_id: str | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """As conditions of a query."""
        conditions: list[ColumnElement[bool]] = []
        if self.states:
            conditions.append(ExtractionRow.state.in_(self.states))
        if self.superlm is not None:
            chosen = select(SuperLMRow).where(SuperLMRow.name == self.superlm)
            if "@" in self.superlm:
                chosen = superlms.of_reference(self.superlm)
            ids = chosen.with_only_columns(SuperLMRow.id)
            conditions.append(ExtractionRow.superlm_id.in_(ids))
        if self.teacher is not None:
            of_teacher = SuperLMRow.spec["teacher"]["name"].as_string() == self.teacher
            conditions.append(
                or_(
                    ExtractionRow.request["teacher"].as_string() == self.teacher,
                    ExtractionRow.superlm_id.in_(select(SuperLMRow.id).where(of_teacher)),
                )
            )
        if self.created_after is not None:
            conditions.append(ExtractionRow.created_at >= self.created_after)
        if self.created_before is not None:
            conditions.append(ExtractionRow.created_at < self.created_before)
        if self.api_key_id is not None:
            conditions.append(ExtractionRow.api_key_id == self.api_key_id)
        return conditions


def list_page(
    session: Session, limit: int, before: str | None = None, filters: Filters | None = None
) -> Page[ExtractionRow]:
    """Extractions, the newest first, from the `next_cursor` of the page before on."""
    query = select(ExtractionRow).where(*(filters or Filters()).conditions())
    return newest_first(session, query, ExtractionRow.id, limit, before)
