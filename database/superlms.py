"""The catalogue of SuperLMs: registered, found, resolved for a search."""

from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import ColumnElement, Select, func, select, text, tuple_
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from autodistil.evaluation.candidates import Candidate
from autodistil.spaces.spec import SuperLMSpec
from autodistil.superlm.bundle import SuperLM
from database import pages
from database.errors import Conflict, NotFound, UnknownSuperLM
from database.pages import Page
from database.tables import AliasRow, SuperLMRow


def lock(session: Session) -> None:
    """Let nobody else register until the transaction ends; readers go on."""
    # A writing transaction of SQLite is alone from its beginning.
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("LOCK TABLE superlms IN SHARE ROW EXCLUSIVE MODE"))


def register(session: Session, superlm: SuperLM) -> SuperLMRow:
    """Add an opened bundle to the catalogue.

    Raises:
        Conflict: The name and version are taken by another bundle.
    """
    spec = superlm.spec
    row = SuperLMRow(
        name=spec.name,
        version=spec.version,
        sha256=superlm.sha256,
        folder=str(superlm.folder),
        spec=spec.model_dump(mode="json"),
        candidates=[candidate.model_dump(mode="json") for candidate in superlm.candidates],
    )
    session.add(row)
    try:
        session.flush()
    except IntegrityError as error:
        raise Conflict(f"{spec.reference} is registered already.") from error
    return row


def find(session: Session, name: str, version: int) -> SuperLMRow | None:
    """A version of a name."""
    return session.scalar(
        select(SuperLMRow).where(SuperLMRow.name == name, SuperLMRow.version == version)
    )


def get(session: Session, reference: str) -> SuperLMRow:
    """The SuperLM of a reference: `name`, `name@latest`, `name@version`, or `name@alias`.

    The first two mean the newest version that is not deprecated; the others find deprecated ones.

    Raises:
        NotFound: There is none.
    """
    row = session.scalar(of_reference(reference))
    if row is None:
        name, _, which = reference.partition("@")
        hint = _deprecated_hint(session, name) if which in ("", "latest") else ""
        raise NotFound(f"There is no SuperLM {reference!r}{hint}.")
    return row


def of_reference(reference: str) -> Select[SuperLMRow]:
    """A query for the SuperLM of a reference, see `get`; it finds one row or none."""
    name, _, which = reference.partition("@")
    query = select(SuperLMRow).where(SuperLMRow.name == name)
    if which in ("", "latest"):
        query = query.where(SuperLMRow.deprecated.is_(None))
        return query.order_by(SuperLMRow.version.desc()).limit(1)
    if which.isdecimal():
        # No version has more digits, and a database would refuse a number of any length.
        return query.where(SuperLMRow.version == (int(which) if len(which) < 8 else 0))
    query = query.join(AliasRow, AliasRow.superlm_id == SuperLMRow.id)
    return query.where(AliasRow.name == name, AliasRow.alias == which)


def _deprecated_hint(session: Session, name: str) -> str:
    query = select(SuperLMRow.version).where(SuperLMRow.name == name)
    versions = list(session.scalars(query.order_by(SuperLMRow.version)))
    named = ", ".join(f"{name}@{version}" for version in versions)
    return f" that is not deprecated; name a version to use one that is: {named}" if named else ""


def list_newest(session: Session, teacher: str | None = None) -> list[SuperLMRow]:
    """The newest version of every name that is not deprecated; of one teacher's, if named."""
    newest = (
        select(SuperLMRow.name, func.max(SuperLMRow.version).label("version"))
        .where(SuperLMRow.deprecated.is_(None))
        .group_by(SuperLMRow.name)
        .subquery()
    )
    same = (SuperLMRow.name == newest.c.name) & (SuperLMRow.version == newest.c.version)
    query = select(SuperLMRow).join(newest, same).order_by(SuperLMRow.name)
    if teacher is not None:
        query = query.where(_teacher_name() == teacher)
    return list(session.scalars(query))


def list_page(
    session: Session,
    limit: int,
    after: tuple[str, int] | None = None,
    teacher: str | None = None,
    name: str | None = None,
    deprecated: bool | None = None,
) -> Page[SuperLMRow]:
    """Versions by name and version; `after` is the name and version the last page ended with."""
    query = select(SuperLMRow).order_by(SuperLMRow.name, SuperLMRow.version)
    if after is not None:
        query = query.where(tuple_(SuperLMRow.name, SuperLMRow.version) > after)
    if teacher is not None:
        query = query.where(_teacher_name() == teacher)
    if name is not None:
        query = query.where(SuperLMRow.name == name)
    if deprecated is not None:
        query = query.where(SuperLMRow.deprecated.is_not(None) == deprecated)
    return pages.read(session, query, limit, lambda row: f"{row.name}@{row.version}")


def resolve(session: Session, teacher: str | None, superlm: str | None) -> list[SuperLMRow]:
    """The SuperLMs that a request may choose from.

    Args:
        session: A session.
        teacher: Name of a teacher: the newest version of each SuperLM distilled from it, those
            deprecated left out.
        superlm: Reference of one SuperLM.

    Raises:
        UnknownSuperLM: Names what is registered.
    """
    if superlm is not None:
        try:
            return [get(session, superlm)]
        except NotFound as error:
            raise _unknown(error.detail.rstrip("."), list_newest(session)) from error
    found = list_newest(session, teacher)
    if not found:
        what = f"There is no SuperLM of the teacher {teacher!r}"
        raise _unknown(what, list_newest(session))
    return found


def pin(session: Session, rows: Sequence[SuperLMRow]) -> list[str]:
    """Keep SuperLMs for an extraction that this transaction adds and that is to choose from them.

    What is registered or deprecated afterwards does not change its choice, and none of them can be
    deleted until it has ended, see `database.superlm_deletion`.

    Returns:
        Their ids.

    Raises:
        UnknownSuperLM: One was deleted since it was read.
    """
    ids = sorted(row.id for row in rows)
    query = select(SuperLMRow.id).where(SuperLMRow.id.in_(ids)).order_by(SuperLMRow.id)
    # A lock that only a deletion waits for.
    if list(session.scalars(query.with_for_update(read=True, key_share=True))) != ids:
        raise _unknown("A SuperLM has just been deleted", list_newest(session))
    return ids


def pinned(session: Session, ids: Sequence[str]) -> list[SuperLMRow]:
    """The SuperLMs that were kept by `pin`, by name.

    Raises:
        UnknownSuperLM: There are none, or not all of them.
    """
    query = select(SuperLMRow).where(SuperLMRow.id.in_(ids))
    rows = list(session.scalars(query.order_by(SuperLMRow.name, SuperLMRow.version)))
    if not rows or len(rows) != len(ids):
        raise _unknown("A SuperLM to choose from is not there", list_newest(session))
    return rows


def deprecate(session: Session, reference: str, reason: str | None) -> SuperLMRow:
    """Say why a version should not be used any more, or with None that it may be again.

    Raises:
        NotFound: There is no such version.
    """
    lock(session)
    row = get(session, reference)
    row.deprecated = reason
    return row


def _teacher_name() -> ColumnElement[str]:
    name: ColumnElement[str] = SuperLMRow.spec[("teacher", "name")].as_string()
    return name


def _unknown(what: str, newest: list[SuperLMRow]) -> UnknownSuperLM:
    superlms = [f"{row.name}@{row.version}" for row in newest]
    teachers = sorted({row.spec["teacher"]["name"] for row in newest})
    known = (
        f"registered are {', '.join(superlms)} of {', '.join(teachers)}" if newest else "none is"
    )
    return UnknownSuperLM(f"{what}; {known}.", superlms=superlms, teachers=teachers)


def read_spec(row: SuperLMRow) -> SuperLMSpec:
    """The spec of a registered SuperLM."""
    return SuperLMSpec.model_validate(row.spec)


def opened(row: SuperLMRow) -> SuperLM:
    """A registered SuperLM as the method takes it; its bundle was checked when registered."""
    return SuperLM(
        folder=Path(row.folder),
        spec=read_spec(row),
        sha256=row.sha256,
        candidates=[Candidate.read(candidate) for candidate in row.candidates],
    )
