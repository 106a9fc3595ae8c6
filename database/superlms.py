"""The catalogue of SuperLMs: registered, found, resolved for a search."""

from pathlib import Path

from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from autodistil.evaluation.candidates import Candidate
from autodistil.spaces.spec import SuperLMSpec
from autodistil.superlm.bundle import SuperLM
from database.errors import Conflict, NotFound, UnknownSuperLM
from database.tables import SuperLMRow


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


def find(session: Session, name: str, version: int | None = None) -> SuperLMRow | None:
    """A version of a name, or its newest version."""
    query = select(SuperLMRow).where(SuperLMRow.name == name)
    if version is not None:
        query = query.where(SuperLMRow.version == version)
    return session.scalar(query.order_by(SuperLMRow.version.desc()).limit(1))


def get(session: Session, reference: str) -> SuperLMRow:
    """The SuperLM of a reference: `name`, `name@latest`, or `name@version`.

    Raises:
        NotFound: There is none.
    """
    name, _, version = reference.partition("@")
    number = int(version) if version.isdecimal() and len(version) < 8 else None
    row = None if version not in ("", "latest") and number is None else find(session, name, number)
    if row is None:
        raise NotFound(f"There is no SuperLM {reference!r}.")
    return row


def list_newest(session: Session) -> list[SuperLMRow]:
    """The newest version of every name."""
    return list({row.name: row for row in list_all(session)}.values())


def list_all(session: Session) -> list[SuperLMRow]:
    """Every version of every name."""
    query = select(SuperLMRow).order_by(SuperLMRow.name, SuperLMRow.version)
    return list(session.scalars(query))


def resolve(session: Session, teacher: str | None, superlm: str | None) -> list[SuperLMRow]:
    """The SuperLMs that a request may choose from.

    Args:
        session: A session.
        teacher: Name of a teacher: the newest version of each SuperLM distilled from it.
        superlm: Reference of one SuperLM.

    Raises:
        UnknownSuperLM: Names what is registered.
    """
    newest = list_newest(session)
    if superlm is not None:
        try:
            return [get(session, superlm)]
        except NotFound as error:
            raise _unknown(f"There is no SuperLM {superlm!r}", newest) from error
    found = [row for row in newest if row.spec["teacher"]["name"] == teacher]
    if not found:
        raise _unknown(f"There is no SuperLM of the teacher {teacher!r}", newest)
    return found


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
