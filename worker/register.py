"""One registration, from the claim to a SuperLM that is ready.

1. fetching: an archive is fetched by its URL if that is where it is, and unpacked; a bundle in a
   folder of the server is copied.
2. checking: all of `autodistil.superlm.bundle.open_superlm` - strict spec, known plain files only,
   every tensor's name, shape, type, and values, every hash, and a candidate table that lists each
   student once with its exact cost - and whether the name and version are free.
3. verifying: the cheapest student is extracted as a user would get it, and must compute what the
   SuperLM computes.
4. evaluating: every student must have a finite score to be searched by. The held-out signals
   themselves are the bundle's word: to measure them anew takes its teacher and its held-out text.
5. ready: the bundle gets its place and its row, and the registration ends, in one transaction.
"""

import logging
import math
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.orm import Session

from autodistil.errors import AutoDistilError, InvalidBundle
from autodistil.extraction.handover import extract_student
from autodistil.superlm.bundle import SuperLM, copy_bundle, open_superlm
from database import audit, registrations
from database.errors import LeaseLost
from database.session import reading
from database.tables import RegistrationRow, RegistrationState
from models_store.bundles import check_size, unpack
from models_store.uploads import Uploads
from worker.entry import enter, find_registered
from worker.fetch import fetch
from worker.lease import claim, held, this_owner
from worker.workshop import Workshop

log = logging.getLogger(__name__)

_REPORT_SECONDS = 1.0
_PERCENT = {
    RegistrationState.FETCHING: 0,
    RegistrationState.CHECKING: 40,
    RegistrationState.VERIFYING: 60,
    RegistrationState.EVALUATING: 90,
}


@dataclass(frozen=True)
class Intake:
    """Where bundles come from and go to.

    Attributes:
        uploads: Where they lie on their way.
        superlms_dir: Where registered ones lie; on the same file system.
        hosts: Hosts that they may be fetched from.
        max_bytes: The most that one may have, packed and unpacked, wherever it comes from.
        development_urls: Fetch over http and from private networks, too.
    """

    uploads: Uploads
    superlms_dir: Path
    hosts: tuple[str, ...] = ()
    max_bytes: int = 2 << 30
    development_urls: bool = False


def run_registration(workshop: Workshop, intake: Intake, registration_id: str) -> None:
    """Do a registration, if it is still there to be done.

    Every outcome is a state of the row. A bundle that is refused leaves nothing behind. A message
    about a row that is taken, ended, or gone is dropped.
    """
    owner = this_owner()
    row = claim(workshop, registrations, registration_id, owner)
    if row is None:
        log.info("registration %s is taken or ended", registration_id)
        return
    folder = intake.uploads.work_folder(registration_id)
    try:
        with held(workshop, registrations, registration_id, owner):
            _Work(workshop, intake, row, owner, folder).run()
        intake.uploads.remove(registration_id)
    except LeaseLost:  # the upload is needed by whoever holds the registration now
        log.warning("registration %s was taken over by another worker", registration_id)
        shutil.rmtree(folder, ignore_errors=True)


class _Work:
    """The work of one attempt.

    Args:
        workshop: What a worker works with.
        intake: Where bundles come from and go to.
        row: The registration.
        owner: Who holds it.
        folder: An empty folder of this attempt.
    """

    def __init__(
        self, workshop: Workshop, intake: Intake, row: RegistrationRow, owner: str, folder: Path
    ) -> None:
        self._sessions, self._intake = workshop.sessions, intake
        self._row, self._owner, self._folder = row, owner, folder
        self._reported = time.monotonic()

    def run(self) -> None:
        """Do it, up to the end of the registration."""
        bundle = self._fetch()
        self._enter_state(RegistrationState.CHECKING)
        superlm = open_superlm(bundle)
        with reading(self._sessions) as session:
            known = find_registered(session, superlm)
        if known is None:
            self._enter_state(RegistrationState.VERIFYING)
            cheapest = min(superlm.candidates, key=lambda candidate: candidate.macs)
            extract_student(superlm, cheapest, self._folder / "student")
            self._enter_state(RegistrationState.EVALUATING)
            _check_scores(superlm)
        with self._sessions.begin() as session:
            self._finish(session, superlm)

    def _fetch(self) -> Path:
        """The bundle in a folder of ours."""
        request, intake, target = self._row.request, self._intake, self._folder / "bundle"
        if "path" in request:
            source = Path(request["path"])
            check_size(source, intake.max_bytes)
            copy_bundle(open_superlm(source), target)
            return target
        archive = intake.uploads.archive(self._row.id)
        if "url" in request:
            archive = self._folder / "bundle.tar.gz"
            fetch(
                request["url"],
                request["sha256"],
                archive,
                hosts=intake.hosts,
                development=intake.development_urls,
                max_bytes=intake.max_bytes,
                on_bytes=self._report_bytes,
            )
        elif not archive.is_file():
            raise AutoDistilError("The uploaded archive is gone; upload it again.")
        unpack(archive, target, intake.max_bytes)
        return target

    def _report_bytes(self, done: int, total: int | None) -> None:
        if time.monotonic() - self._reported < _REPORT_SECONDS:
            return
        share = done / total if total else 0.5
        percent = int(min(share, 1.0) * _PERCENT[RegistrationState.CHECKING])
        self._enter_state(RegistrationState.FETCHING, percent)

    def _enter_state(self, state: RegistrationState, percent: int | None = None) -> None:
        percent = _PERCENT[state] if percent is None else percent
        with self._sessions.begin() as session:
            registrations.advance(session, self._row.id, self._owner, state, percent)
        self._reported = time.monotonic()

    def _finish(self, session: Session, superlm: SuperLM) -> None:
        # First, so that a lease that was lost is noticed before the bundle is moved.
        evaluating = RegistrationState.EVALUATING
        registrations.advance(session, self._row.id, self._owner, evaluating, 99)
        entered, new = enter(session, superlm, self._intake.superlms_dir)
        registrations.succeed(session, self._row.id, self._owner, entered.id)
        if new:
            audit.record(
                session,
                self._row.api_key_id,
                audit.Action.SUPERLM_READY,
                superlm.spec.reference,
                registration=self._row.id,
                sha256=superlm.sha256,
            )


def _check_scores(superlm: SuperLM) -> None:
    """Refuse a table by which a search could not choose."""
    for candidate in superlm.candidates:
        score = candidate.quality
        if score is None or not math.isfinite(score):
            raise InvalidBundle(f"{candidate.architecture.name} has no finite held-out score.")
