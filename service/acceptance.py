"""A request for a student, from its body to the row of a job that a worker is told about."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from autodistil.selection.on_text import read_sentences
from database import artifacts, devices, extractions, idempotency, quotas, sharing, superlms
from database.session import reading
from database.tables import ApiKeyRow, ExtractionRow, State
from models_store.texts import put_text
from service.dependencies import Parts
from service.fingerprint import fingerprint_of, hash_of
from service.schemas.extractions import ExtractionRequest, TextReference
from worker.domain import check_teachers
from worker.queue import send_extraction
from worker.webhooks import check_webhook


@dataclass(frozen=True)
class Accepted:
    """A job that stands for a request.

    Attributes:
        row: The job.
        replayed: Whether an earlier request with the same idempotency key made it.
    """

    row: ExtractionRow
    replayed: bool = False


def accept(
    parts: Parts, body: ExtractionRequest, key: ApiKeyRow, idempotency_key: str | None
) -> Accepted:
    """Make a job of a request, or find the one that it made before.

    Raises:
        AutoDistilError: The request is refused; nothing is kept of it.
    """
    content = body.model_dump(mode="json", exclude_none=True)
    remembered = None
    if idempotency_key is not None:
        remembered = idempotency.Remembered(key.id, idempotency_key, hash_of(content))
        if first := _first(parts, remembered):
            return first
    with reading(parts.sessions) as session:
        rows = superlms.resolve(session, body.teacher, body.superlm)
        parts.catalogue.plan(rows, body.budget, devices.profiles_for(session, body.budget))
        device = body.budget.latency.device if body.budget.latency else None
        profile = devices.get(session, device).profile if device else None
    if body.webhook is not None:
        check_webhook(parts.settings, body.webhook.url)
    request = {name: value for name, value in content.items() if name != "webhook"}
    text = None
    if body.text is not None:
        check_teachers(parts.settings.teachers, {row.spec["teacher"]["name"] for row in rows})
        text = read_sentences(body.text, parts.settings.max_text_characters)
        request["text"] = _keep_text(parts, text)
    with parts.sessions.begin() as session:
        while remembered and not idempotency.reserve(session, remembered):
            if extraction_id := idempotency.find(session, remembered):
                return Accepted(extractions.get(session, extraction_id), replayed=True)
        quotas.check(session, key, parts.settings.extractions_per_day)
        if text is not None:
            _keep_text_stored(session, parts, text, request["text"]["sha256"])
        row = sharing.create(
            session,
            request,
            key.id,
            fingerprint_of(request, rows, profile),
            lambda sha256: parts.store.path(sha256).is_file(),
            content.get("webhook"),
            superlms.pin(session, rows),
        )
        if remembered:
            idempotency.fill(session, remembered, row.id)
    if row.state == State.QUEUED and row.leader_key is not None:
        send(parts, row.id, device)
    return Accepted(row)


def send(parts: Parts, extraction_id: str, device: str | None) -> None:
    """Tell the workers about a job; if the broker does not answer, the sweeper does it later.

    It belongs after the commit: a message about a row that nobody can see yet would be dropped.
    """
    if send_extraction(parts.celery, extraction_id, device):
        with parts.sessions.begin() as session:
            extractions.mark_sent(session, extraction_id)


def _first(parts: Parts, remembered: idempotency.Remembered) -> Accepted | None:
    with reading(parts.sessions) as session:
        extraction_id = idempotency.find(session, remembered)
        if extraction_id is None:
            return None
        return Accepted(extractions.get(session, extraction_id), replayed=True)


def _keep_text(parts: Parts, text: Sequence[str]) -> dict[str, Any]:
    """Store a text; its reference stands in the request, so that other text is another request."""
    return TextReference(
        sha256=put_text(parts.store, text),
        sentences=len(text),
        characters=sum(map(len, text)),
    ).model_dump()


def _keep_text_stored(session: Session, parts: Parts, text: Sequence[str], sha256: str) -> None:
    """Have a text stored when the transaction ends that adds a row about it."""
    artifacts.lock(session, [sha256])
    if not parts.store.path(sha256).is_file():
        # An equal text was there, and was deleted with its extraction before it was locked.
        put_text(parts.store, text)
