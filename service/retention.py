"""Files that are not needed any more: of artifacts that are deleted, outdated, or of nobody."""

import datetime
import logging
import random
from collections.abc import Iterable

from database import artifacts
from database.session import SessionFactory, reading
from database.tables import utc_now
from models_store.artifacts import ArtifactStore

log = logging.getLogger(__name__)

ORPHAN_AGE = datetime.timedelta(days=1)
"""A file is put into the store before there is a row about it; within a day, surely."""


def delete_files(sessions: SessionFactory, store: ArtifactStore, hashes: Iterable[str]) -> None:
    """Remove files from the store, except those that something is still about.

    It belongs after the commit of what made them unneeded; what it leaves, because the process
    dies or the store does not answer, `remove_orphans` finds.
    """
    for sha256 in hashes:
        with sessions.begin() as session:
            artifacts.lock(session, [sha256])
            if artifacts.is_needed(session, sha256):
                continue
            try:
                store.remove(sha256)
            except OSError as error:
                log.warning("%s cannot be removed from the store: %s", sha256, error)


def delete_outdated(sessions: SessionFactory, store: ArtifactStore, days: float) -> list[str]:
    """Delete the artifacts of extractions that ended long ago, some at a time.

    Args:
        sessions: The database.
        store: Where the files are.
        days: How long artifacts are kept; 0 is for ever.

    Returns:
        Ids of the extractions.
    """
    if not days:
        return []
    before = utc_now() - datetime.timedelta(days=days)
    with reading(sessions) as session:
        outdated = artifacts.outdated(session, before)
    for extraction_id in outdated:
        with sessions.begin() as session:
            freed = artifacts.delete(session, extraction_id)
        delete_files(sessions, store, freed)
    return outdated


def remove_orphans(
    sessions: SessionFactory,
    store: ArtifactStore,
    shard: str,
    age: datetime.timedelta = ORPHAN_AGE,
) -> list[str]:
    """Remove the files of a shard of the store that are old and that nothing is about.

    They are left by processes that died between storing a file and the commit of its row, or
    between the commit of a deletion and the removal; texts of requests are left when their
    extraction has ended.

    Returns:
        Hashes of the files that may have been such.
    """
    with reading(sessions) as session:
        orphans = [
            sha256
            for sha256 in store.unused_since(shard, utc_now() - age)
            if not artifacts.is_needed(session, sha256)
        ]
    delete_files(sessions, store, orphans)
    return orphans


def tidy(sessions: SessionFactory, store: ArtifactStore, artifact_days: float) -> None:
    """Delete what is outdated, and look for orphans in one shard of the store in turn."""
    outdated = delete_outdated(sessions, store, artifact_days)
    if outdated:
        log.info("deleted the artifacts of %s", ", ".join(outdated))
    try:
        orphans = remove_orphans(sessions, store, random.choice(store.shards()))
    except OSError as error:
        log.warning("the store of artifacts cannot be read: %s", error)
    else:
        if orphans:
            log.info("removed files that nothing was about: %s", ", ".join(orphans))
