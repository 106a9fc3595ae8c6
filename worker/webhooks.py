"""Webhooks: the end of an extraction told to an address that its request named.

Messages and signatures are those of Standard Webhooks (https://www.standardwebhooks.com). They are
sent by a task beside the sweeper in the API process and not by the workers: a worker may be busy
with an extraction for minutes, and a receiver that hangs must not keep it from the next one.
"""

import asyncio
import base64
import contextlib
import datetime
import json
import logging
import secrets
from collections.abc import Callable
from typing import Any

import httpcore
from sqlalchemy.exc import SQLAlchemyError
from standardwebhooks import Webhook

from database import extractions, webhooks
from database.errors import NotFound, WebhookRefused
from database.session import SessionFactory, reading
from database.tables import ExtractionRow, utc_now
from worker.safe_http import AddressRefused, Resolver, check_url, post, resolve
from worker.settings import Settings

log = logging.getLogger(__name__)

Describe = Callable[[ExtractionRow], dict[str, Any]]
"""From an extraction that has ended to the message about it."""

_LOOK_SECONDS = 1.0
_AT_ONCE = 16
# Longer than an attempt can last; after it another process tries.
_HOLD = datetime.timedelta(seconds=60)


def new_secret() -> str:
    """A secret to sign webhooks with."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def read_secret(settings: Settings) -> str | None:
    """The secret that signs webhooks: from the settings, else from its file, if it is there."""
    if given := settings.webhook_secret.get_secret_value():
        return given
    with contextlib.suppress(FileNotFoundError):
        return settings.webhook_secret_file.read_text().strip()
    return None


def check_webhook(settings: Settings, url: str) -> None:
    """Refuse a webhook that could not be called.

    Its name is resolved when it is called; that it then leads to a private address shows in the
    delivery.

    Raises:
        WebhookRefused: The URL may not be called, or there is nothing to sign the message with.
    """
    try:
        check_url(url, development=settings.development_webhooks)
    except AddressRefused as error:
        raise WebhookRefused(error.detail) from error
    if read_secret(settings) is None:
        raise WebhookRefused(
            "This service has no secret to sign webhooks with. Poll the extraction, or have an "
            "operator set AUTODISTIL_WEBHOOK_SECRET."
        )


class Deliveries:
    """Calls webhooks whose time has come.

    Args:
        sessions: The database.
        settings: Secret, pauses, and whether this is development.
        describe: Makes the message.
        resolver: Finds the addresses of names.
    """

    def __init__(
        self,
        sessions: SessionFactory,
        settings: Settings,
        describe: Describe,
        resolver: Resolver = resolve,
    ) -> None:
        self._sessions, self._settings = sessions, settings
        self._describe, self._resolver = describe, resolver

    async def run(self) -> None:
        """Deliver until cancelled; a database that is away is tried again."""
        under_way: set[asyncio.Task[None]] = set()
        try:
            while True:
                try:
                    claims = await asyncio.to_thread(self._claim, _AT_ONCE - len(under_way))
                except SQLAlchemyError as error:
                    log.warning("the database does not answer: %s", error)
                    claims = []
                for claim in claims:
                    task = asyncio.create_task(self._deliver(claim))
                    under_way.add(task)
                    task.add_done_callback(under_way.discard)
                await asyncio.sleep(_LOOK_SECONDS)
        finally:
            for task in under_way:
                task.cancel()

    async def deliver_due(self) -> None:
        """Deliver what is due now, and return when every attempt has ended."""
        claims = await asyncio.to_thread(self._claim, _AT_ONCE)
        await asyncio.gather(*map(self._deliver, claims))

    def _claim(self, room: int) -> list[webhooks.Claim]:
        if room <= 0 or read_secret(self._settings) is None:
            return []
        with reading(self._sessions) as session:
            if not webhooks.any_due(session):
                return []
        with self._sessions.begin() as session:
            return webhooks.claim_due(session, room, _HOLD)

    async def _deliver(self, claim: webhooks.Claim) -> None:
        try:
            answer, delivered = await self._attempt(claim)
            await asyncio.to_thread(self._settle, claim, answer, delivered)
        except SQLAlchemyError as error:
            # The claim ends by itself, and the delivery is tried again.
            log.warning("webhook %s: the database does not answer: %s", claim.id, error)
        except Exception:
            log.exception("webhook %s failed", claim.id)
            await asyncio.to_thread(self._settle, claim, "internal-error", False)

    async def _attempt(self, claim: webhooks.Claim) -> tuple[str, bool]:
        """Make one attempt: what it met, and whether the message was taken."""
        try:
            url, body = await asyncio.to_thread(self._message, claim.extraction_id)
        except NotFound:
            return "extraction-deleted", False
        try:
            status = await post(
                url,
                body.encode(),
                self._headers(claim.id, body),
                development=self._settings.development_webhooks,
                resolver=self._resolver,
            )
        except AddressRefused as error:
            # Not shown to the user, who could otherwise look up the names of our network.
            log.warning("webhook %s is not called: %s", claim.id, error)
            return "address-refused", False
        except (TimeoutError, httpcore.TimeoutException):
            return "timeout", False
        except (httpcore.NetworkError, OSError):
            return "connection-failed", False
        except httpcore.ProtocolError:
            return "not-http", False
        return str(status), 200 <= status < 300

    def _message(self, extraction_id: str) -> tuple[str, str]:
        """The address, and the body of the message."""
        with reading(self._sessions) as session:
            row = extractions.get(session, extraction_id)
            if row.webhook is None:
                raise NotFound(f"Extraction {extraction_id} has no webhook any more.")
            return str(row.webhook["url"]), json.dumps(self._describe(row))

    def _headers(self, delivery_id: str, body: str) -> dict[str, str]:
        now = utc_now()
        secret = read_secret(self._settings) or ""
        return {
            "Content-Type": "application/json",
            "User-Agent": "autodistil-webhooks",
            "webhook-id": delivery_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(secret).sign(delivery_id, now, body),
        }

    def _settle(self, claim: webhooks.Claim, answer: str, delivered: bool) -> None:
        with self._sessions.begin() as session:
            webhooks.settle(
                session,
                claim,
                answer,
                delivered=delivered,
                retry_seconds=self._settings.webhook_retry_seconds,
            )
