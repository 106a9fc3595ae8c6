"""One extraction, from the claim to the stored artifact."""

import contextlib
import logging
import shutil
from pathlib import Path

from autodistil.extraction.export import pack
from autodistil.extraction.receipt import Miss, Receipt
from autodistil.search.budget import Budget
from autodistil.search.choice import Choice
from autodistil.selection.on_device import extract_best
from autodistil.spaces.embedding import Vectors
from database import artifacts, devices, extractions, superlms
from database.errors import Canceled, LeaseLost
from database.session import reading
from database.tables import ArtifactRow, State
from worker.domain import search_on_text
from worker.lease import claim, held, this_owner
from worker.workshop import Workshop

log = logging.getLogger(__name__)

FORMAT = "transformers"
ARCHIVE = "transformers.tar.gz"


def run_extraction(workshop: Workshop, extraction_id: str) -> None:
    """Do an extraction, if it is still there to be done.

    Every outcome is a state of the row: an error of ours or of the method is kept as the problem
    of a failed extraction. A message about a row that is taken, ended, or gone is
    dropped.
    """
    owner = this_owner()
    if claim(workshop, extractions, extraction_id, owner) is None:
        log.info("extraction %s is taken or ended", extraction_id)
        return
    folder = workshop.scratch / extraction_id
    try:
        with held(workshop, extractions, extraction_id, owner):
            _work(workshop, extraction_id, owner, folder)
    except Canceled:
        # The sweeper ends it if the lease has run out meanwhile.
        with contextlib.suppress(LeaseLost), workshop.sessions.begin() as session:
            extractions.finish_cancel(session, extraction_id, owner)
    except LeaseLost:
        log.warning("extraction %s was taken over by another worker", extraction_id)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _work(workshop: Workshop, extraction_id: str, owner: str, folder: Path) -> None:
    with reading(workshop.sessions) as session:
        row = extractions.get(session, extraction_id)
        request, rows = row.request, superlms.pinned(session, row.superlm_ids)
        budget = Budget.model_validate(request["budget"])
        profiles = devices.profiles_for(session, budget)
    if budget.latency and budget.latency.device:
        workshop.check_device(budget.latency.device)
    opened = {f"{row.name}@{row.version}": (row, superlms.opened(row)) for row in rows}

    def on_choice(choice: Choice) -> None:
        row, _ = opened[choice.best.superlm]
        with workshop.sessions.begin() as session:
            extractions.choose(session, extraction_id, owner, row.id, choice.best.row())

    def on_phase(phase: str) -> None:
        with workshop.sessions.begin() as session:
            extractions.advance(session, extraction_id, owner, State(phase))

    def on_miss(miss: Miss) -> None:
        with workshop.sessions.begin() as session:
            extractions.note_miss(session, extraction_id, miss.model_dump(mode="json"))

    def check() -> None:
        with workshop.sessions.begin() as session:
            extractions.check(session, extraction_id, owner)

    candidates = {reference: superlm for reference, (_, superlm) in opened.items()}
    domain = None
    if text := request.get("text"):
        domain = search_on_text(workshop, text["sha256"], candidates, budget, profiles, check)
    student = folder / "student"
    receipt = extract_best(
        candidates,
        budget,
        student,
        profiles,
        entries=domain.entries if domain else None,
        vectors=Vectors(request.get("vectors", Vectors.TEACHER)),
        on_choice=on_choice,
        on_phase=on_phase,
        on_miss=on_miss,
    )
    receipt = receipt.model_copy(update={"domain": domain.receipt if domain else None})
    archive = folder / ARCHIVE
    pack(student, archive)
    _finish(workshop, extraction_id, owner, receipt, archive)


def _finish(
    workshop: Workshop, extraction_id: str, owner: str, receipt: Receipt, archive: Path
) -> None:
    stored = workshop.store.put(archive)
    artifact = ArtifactRow(
        extraction_id=extraction_id,
        name=archive.name,
        format=FORMAT,
        sha256=stored.sha256,
        size_bytes=stored.size_bytes,
    )
    with workshop.sessions.begin() as session:
        artifacts.lock(session, [stored.sha256])
        if not workshop.store.path(stored.sha256).is_file():
            # An equal file was there, and was deleted with its extraction before it was locked.
            workshop.store.put(archive)
        extractions.succeed(
            session, extraction_id, owner, receipt.model_dump(mode="json"), [artifact]
        )
