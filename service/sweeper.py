"""Looks again and again for extractions that nobody works on, and tells the workers.

Two things can go wrong without anybody noticing: a message is lost between the commit and the
broker or inside it, and a worker dies with an extraction in its hands. Several sweepers do no harm.
"""

import asyncio
import datetime
import logging

from celery import Celery
from sqlalchemy.exc import SQLAlchemyError

from database import extractions
from database.session import SessionFactory, reading
from worker.queue import send_extraction
from worker.settings import Settings

log = logging.getLogger(__name__)


def sweep(sessions: SessionFactory, celery: Celery, settings: Settings) -> list[str]:
    """Free the extractions of dead workers and send what is queued without a message.

    Returns:
        Ids of the extractions that were sent.
    """
    with sessions.begin() as session:
        extractions.recover(session, settings.max_attempts)
    with reading(sessions) as session:
        waiting = extractions.unsent(session, datetime.timedelta(seconds=settings.resend_seconds))
    sent = []
    for extraction_id in waiting:
        if not send_extraction(celery, extraction_id):
            log.warning("the broker does not answer; %d extractions wait", len(waiting))
            break
        with sessions.begin() as session:
            extractions.mark_sent(session, extraction_id)
        sent.append(extraction_id)
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
