"""Looks again and again for work that nobody does, and tells the workers.

Two things can go wrong without anybody noticing: a message is lost between the commit and the
broker or inside it, and a worker dies with an extraction in its hands. Several sweepers do no harm.
"""

import asyncio
import datetime
import logging

from celery import Celery
from sqlalchemy.exc import SQLAlchemyError

from database import devices, extractions, idempotency, registrations
from database.session import SessionFactory, reading
from models_store.artifacts import FolderStore
from models_store.uploads import Uploads
from service.retention import tidy
from service.uploads import remove_leftovers
from worker.queue import send_extraction, send_profiling, send_registration
from worker.settings import Settings

log = logging.getLogger(__name__)


def sweep(sessions: SessionFactory, celery: Celery, settings: Settings) -> list[str]:
    """Free the work of dead workers and send what is queued without a message.

    Returns:
        Ids of the extractions and registrations, and names of the devices, that were sent.
    """
    with sessions.begin() as session:
        extractions.recover(session, settings.max_attempts)
        devices.recover(session, settings.max_attempts)
        registrations.recover(session, settings.max_attempts)
        idempotency.expire(session, datetime.timedelta(hours=settings.idempotency_hours))
    resend = datetime.timedelta(seconds=settings.resend_seconds)
    with reading(sessions) as session:
        jobs = {
            id_: extractions.device_of(session, id_) for id_ in extractions.unsent(session, resend)
        }
        profilings = devices.unsent(session, resend)
        bundles = registrations.unsent(session, resend)
    sent: list[str] = []
    for extraction_id, device in jobs.items():
        if not send_extraction(celery, extraction_id, device):
            log.warning("the broker does not answer; %d extractions wait", len(jobs))
            return sent
        with sessions.begin() as session:
            extractions.mark_sent(session, extraction_id)
        sent.append(extraction_id)
    for device in profilings:
        if not send_profiling(celery, device):
            log.warning("the broker does not answer; %d devices wait", len(profilings))
            break
        with sessions.begin() as session:
            devices.mark_sent(session, device)
        sent.append(device)
    for registration_id in bundles:
        if not send_registration(celery, registration_id):
            log.warning("the broker does not answer; %d registrations wait", len(bundles))
            break
        with sessions.begin() as session:
            registrations.mark_sent(session, registration_id)
        sent.append(registration_id)
    remove_leftovers(sessions, Uploads(settings.uploads_dir))
    return sent


async def sweep_forever(sessions: SessionFactory, celery: Celery, settings: Settings) -> None:
    """Sweep now and then until cancelled; a database that is away is tried again."""
    store = FolderStore(settings.artifacts_dir)
    while True:
        await asyncio.sleep(settings.sweep_seconds)
        try:
            sent = await asyncio.to_thread(sweep, sessions, celery, settings)
            if sent:
                log.info("sent again: %s", ", ".join(sent))
            await asyncio.to_thread(tidy, sessions, store, settings.artifact_days)
        except SQLAlchemyError as error:
            log.warning("the database does not answer: %s", error)
