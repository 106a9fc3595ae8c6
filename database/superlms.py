"""The catalogue of SuperLMs: registered, found, resolved for a search."""

from pathlib import Path

from sqlalchemy import ColumnElement, func, or_, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from autodistil.evaluation.candidates import Candidate
from autodistil.spaces.spec import SuperLMSpec
from autodistil.superlm.bundle import SuperLM
from database.errors import Conflict, NotFound, UnknownSuperLM
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
    name, _, which = reference.partition("@")
    query = select(SuperLMRow).where(SuperLMRow.name == name)
    if which in ("", "latest"):
        query = query.where(SuperLMRow.deprecated.is_(None))
        query = query.order_by(SuperLMRow.version.desc()).limit(1)
    elif which.isdecimal():
        # No version has more digits, and a database would refuse a number of any length.
        query = query.where(SuperLMRow.version == (int(which) if len(which) < 8 else 0))
    else:
        query = query.join(AliasRow, AliasRow.superlm_id == SuperLMRow.id)
        query = query.where(AliasRow.name == name, AliasRow.alias == which)
    row = session.scalar(query)
    if row is None:
        hint = _deprecated_hint(session, name) if which in ("", "latest") else ""
        raise NotFound(f"There is no SuperLM {reference!r}{hint}.")
    return row


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
) -> list[SuperLMRow]:
    """Versions by name and version; `after` is the name and version the last page ended with."""
    query = select(SuperLMRow).order_by(SuperLMRow.name, SuperLMRow.version).limit(limit)
    if after is not None:
        query = query.where(
            or_(
                SuperLMRow.name > after[0],
                (SuperLMRow.name == after[0]) & (SuperLMRow.version > after[1]),
            )
        )
    if teacher is not None:
        query = query.where(_teacher_name() == teacher)
    if name is not None:
        query = query.where(SuperLMRow.name == name)
    if deprecated is not None:
        query = query.where(SuperLMRow.deprecated.is_not(None) == deprecated)
    return list(session.scalars(query))


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
