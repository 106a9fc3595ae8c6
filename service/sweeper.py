"""Looks again and again for work that nobody does, and tells the workers.

Two things can go wrong without anybody noticing: a message is lost between the commit and the
broker or inside it, and a worker dies with an extraction in its hands. Several sweepers do no harm.
"""

import asyncio
import datetime
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from celery import Celery
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

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
        messages = [
            *(
                _Message(
                    id_,
                    partial(send_extraction, device=extractions.get(session, id_).device),
                    extractions.mark_sent,
                )
                for id_ in extractions.unsent(session, resend)
            ),
            *(
                _Message(name, send_profiling, devices.mark_sent)
                for name in devices.unsent(session, resend)
            ),
            *(
                _Message(id_, send_registration, registrations.mark_sent)
                for id_ in registrations.unsent(session, resend)
            ),
        ]
    sent: list[str] = []
    for message in messages:
        if not message.send(celery, message.about):
            log.warning("the broker does not answer; %d messages wait", len(messages) - len(sent))
            break
        with sessions.begin() as session:
            message.mark_sent(session, message.about)
        sent.append(message.about)
    remove_leftovers(sessions, Uploads(settings.uploads_dir))
    return sent


@dataclass(frozen=True)
class _Message:
    """What is to be sent about a row, and how that is noted."""

    about: str
    send: Callable[[Celery, str], bool]
    mark_sent: Callable[[Session, str], None]


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
