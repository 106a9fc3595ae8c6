"""Looks again and again for work that nobody does, and tells the workers.

Two things can go wrong without anybody noticing: a message is lost between the commit and the
broker or inside it, and a worker dies with an extraction in its hands. Several sweepers do no harm.
"""

import asyncio
import datetime
import logging

from celery import Celery
from sqlalchemy.exc import SQLAlchemyError

from database import devices, extractions
from database.session import SessionFactory, reading
from worker.queue import send_extraction, send_profiling
from worker.settings import Settings

log = logging.getLogger(__name__)


def sweep(sessions: SessionFactory, celery: Celery, settings: Settings) -> list[str]:
    """Free the work of dead workers and send what is queued without a message.

    Returns:
        Ids of the extractions and names of the devices that were sent.
    """
    with sessions.begin() as session:
        extractions.recover(session, settings.max_attempts)
        devices.recover(session, settings.max_attempts)
    resend = datetime.timedelta(seconds=settings.resend_seconds)
    with reading(sessions) as session:
        jobs = {
            id_: extractions.device_of(session, id_) for id_ in extractions.unsent(session, resend)
        }
        profilings = devices.unsent(session, resend)
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
    return sent


async def sweep_forever(sessions: SessionFactory, celery: Celery, settings: Settings) -> None:
    """Sweep now and then until cancelled; a database that is away is tried again."""
    while True:
        await asyncio.sleep(settings.sweep_seconds)
        try:
            sent = await asyncio.to_thread(sweep, sessions, celery, settings)
            if sent:
                log.info("sent again: %s", ", ".join(sent))
        except SQLAlchemyError as error:
            log.warning("the database does not answer: %s", error)
