"""The last step of a registration: a checked bundle gets its place and its row, or neither."""

import shutil
from pathlib import Path

from sqlalchemy.orm import Session

from autodistil.superlm.bundle import SuperLM, copy_bundle, open_superlm
from database import superlms
from database.errors import Conflict
from database.session import SessionFactory
from database.tables import SuperLMRow
from models_store.bundles import put_in_place
from models_store.uploads import Uploads


def find_registered(session: Session, superlm: SuperLM) -> SuperLMRow | None:
    """The row of a bundle if it is registered already.

    Raises:
        Conflict: The name and version are taken by another bundle.
    """
    spec = superlm.spec
    row = superlms.find(session, spec.name, spec.version)
    if row is not None and row.sha256 != superlm.sha256:
        raise Conflict(
            f"{spec.reference} is registered with other content; versions never change. "
            "Register it under a new version.",
            registered_sha256=row.sha256,
        )
    return row


def enter(session: Session, superlm: SuperLM, superlms_dir: Path) -> tuple[SuperLMRow, bool]:
    """Move a checked bundle among the registered ones; one that is there already stays.

    Args:
        session: A session; the row appears when it commits.
        superlm: The bundle, in a folder of our own on the file system of `superlms_dir`.
        superlms_dir: Where it goes, as `name@version`.

    Returns:
        The row, and whether it is new.

    Raises:
        Conflict: The name and version are taken by another bundle.
    """
    superlms.lock(session)  # two bundles in one place would spoil each other
    row = find_registered(session, superlm)
    if row is not None:
        return row, False
    placed = put_in_place(superlm, superlms_dir / superlm.spec.reference)
    return superlms.register(session, placed), True


def register_bundle(session: Session, source: Path, superlms_dir: Path) -> tuple[SuperLMRow, bool]:
    """Check, copy, and enter a bundle of our own at once, without a job.

    Args:
        session: A session; the row appears when it commits.
        source: Folder of the bundle; it is copied.
        superlms_dir: Where the copy goes, as `name@version`.

    Returns:
        The row, and whether it is new; the same bundle again is not an error.

    Raises:
        InvalidBundle: Says what is wrong with the bundle.
        Conflict: The name and version are taken by another bundle.
    """
    superlm = open_superlm(source)
    superlms.lock(session)
    row = find_registered(session, superlm)
    if row is not None:
        return row, False
    target = superlms_dir / superlm.spec.reference
    if target.exists():  # left by a registration that died before its row was committed
        shutil.rmtree(target)
    return superlms.register(session, copy_bundle(superlm, target)), True


def remove_folder(sessions: SessionFactory, row: SuperLMRow, uploads: Uploads) -> None:
    """Remove the folder of a SuperLM whose deletion has been committed.

    Args:
        sessions: The database.
        row: The row as it was.
        uploads: Where the folder is moved to first, on the same file system: what is left there
            by a crash is removed later.
    """
    with sessions.begin() as session:
        superlms.lock(session)
        # The name and version may have been registered again since, into the same place.
        if superlms.find(session, row.name, row.version) is None:
            uploads.take(row.id, Path(row.folder))
    uploads.remove(row.id)
