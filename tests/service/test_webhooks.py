"""The end of an extraction is told to its webhook: signed, again if need be, not twice at once."""

import asyncio
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from standardwebhooks import Webhook, WebhookVerificationError

from database import extractions, webhooks
from database.errors import WebhookRefused
from database.session import SessionFactory, reading
from database.tables import DeliveryRow, utc_now
from service.prepare import prepare
from service.schemas.webhooks import describe
from tests.service.receiver import Receiver, receiving
from tests.stack import Stack
from worker.settings import Settings
from worker.webhooks import Deliveries, check_webhook, new_secret, read_secret

SECRET = new_secret()


def settings(folder: Path, **more: Any) -> Settings:
    values = {
        "webhook_secret": SECRET,
        "development_webhooks": True,
        "webhook_retry_seconds": [0, 0],
        **more,
    }
    return Settings(data_dir=folder, **values)


def ended(sessions: SessionFactory, url: str) -> str:
    """Id of an extraction that was canceled and has a delivery due."""
    with sessions.begin() as session:
        row = extractions.create(session, {"budget": {"macs": 1}}, None)
        row.webhook = {"url": url}
        session.flush()
        extractions.request_cancel(session, row.id)
        if not webhooks.list_of(session, row.id):
            webhooks.enqueue(session, row.id)
        return row.id


def delivery_of(sessions: SessionFactory, extraction_id: str) -> DeliveryRow:
    with reading(sessions) as session:
        (row,) = webhooks.list_of(session, extraction_id)
        return row


def verified(call: tuple[dict[str, str], bytes], secret: str = SECRET) -> dict[str, Any]:
    headers, body = call
    message: dict[str, Any] = Webhook(secret).verify(body, headers)
    return message


def test_the_message_is_signed_and_says_how_the_extraction_ended(
    sessions: SessionFactory, tmp_path: Path
) -> None:
    with receiving() as receiver:
        job = ended(sessions, receiver.url)
        asyncio.run(Deliveries(sessions, settings(tmp_path), describe).deliver_due())
        asyncio.run(Deliveries(sessions, settings(tmp_path), describe).deliver_due())
    (call,) = receiver.calls
    message = verified(call)
    assert message["type"] == "extraction.canceled"
    assert (message["data"]["id"], message["data"]["state"]) == (job, "canceled")
    assert message["data"]["url"] == f"/v1/extractions/{job}"
    row = delivery_of(sessions, job)
    assert (row.state, row.attempts, row.answer) == ("delivered", 1, "204")
    assert call[0]["webhook-id"] == row.id
    with pytest.raises(WebhookVerificationError):
        verified((call[0], call[1].replace(b"canceled", b"succeeded")))
    with pytest.raises(WebhookVerificationError):
        verified(call, new_secret())


def test_a_receiver_that_fails_gets_the_same_message_again(
    sessions: SessionFactory, tmp_path: Path
) -> None:
    with receiving() as receiver:
        receiver.statuses = [500, 302, 200]
        job = ended(sessions, receiver.url)
        deliveries = Deliveries(sessions, settings(tmp_path), describe)
        for _ in range(3):
            asyncio.run(deliveries.deliver_due())
    assert len({headers["webhook-id"] for headers, _ in receiver.calls}) == 1
    assert [verified(call)["data"]["id"] for call in receiver.calls] == [job] * 3
    row = delivery_of(sessions, job)
    assert (row.state, row.attempts, row.answer) == ("delivered", 3, "200")


def test_a_receiver_that_always_fails_is_given_up(sessions: SessionFactory, tmp_path: Path) -> None:
    with receiving() as receiver:
        receiver.statuses, receiver.body = [500], b"the secret of the receiver"
        job = ended(sessions, receiver.url)
        deliveries = Deliveries(sessions, settings(tmp_path), describe)
        for _ in range(5):
            asyncio.run(deliveries.deliver_due())
    row = delivery_of(sessions, job)
    assert (row.state, row.attempts, row.answer) == ("given_up", 3, "500")
    assert len(receiver.calls) == 3


def test_the_pauses_are_those_of_the_settings(sessions: SessionFactory, tmp_path: Path) -> None:
    with receiving() as receiver:
        receiver.statuses = [500]
        job = ended(sessions, receiver.url)
        deliveries = Deliveries(
            sessions, settings(tmp_path, webhook_retry_seconds=[100, 200]), describe
        )
        for pause in (100, 200):
            asyncio.run(deliveries.deliver_due())
            asyncio.run(deliveries.deliver_due())  # not due
            wait = delivery_of(sessions, job).next_attempt_at - utc_now()
            assert pause - 30 < wait.total_seconds() <= pause
            with sessions.begin() as session:
                session.execute(update(DeliveryRow).values(next_attempt_at=utc_now()))
    assert len(receiver.calls) == 2


@pytest.mark.parametrize(
    ("url", "answer"),
    [
        ("http://127.0.0.1:9/", "connection-failed"),
        ("http://169.254.169.254/", "address-refused"),
        ("http://no-such-name.invalid/", "connection-failed"),
    ],
)
def test_what_went_wrong_is_told_without_details(
    sessions: SessionFactory, tmp_path: Path, url: str, answer: str
) -> None:
    job = ended(sessions, url)
    asyncio.run(Deliveries(sessions, settings(tmp_path), describe).deliver_due())
    assert delivery_of(sessions, job).answer == answer


def test_a_name_that_leads_to_a_private_address_is_not_called_in_production(
    sessions: SessionFactory, tmp_path: Path
) -> None:
    async def resolver(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    production = settings(tmp_path, development_webhooks=False)
    job = ended(sessions, "https://hooks.example.com/")
    asyncio.run(Deliveries(sessions, production, describe, resolver).deliver_due())
    row = delivery_of(sessions, job)
    assert (row.state, row.answer) == ("waiting", "address-refused")


def test_sweepers_at_once_claim_every_delivery_once(sessions: SessionFactory) -> None:
    jobs = {ended(sessions, "http://127.0.0.1:9/") for _ in range(12)}

    def claim(_: int) -> list[webhooks.Claim]:
        with sessions.begin() as session:
            return webhooks.claim_due(session, 5, timedelta(seconds=60))

    with ThreadPoolExecutor(6) as pool:
        claims = [claim for found in pool.map(claim, range(12)) for claim in found]
    # A sweeper skips rows that another one holds, and comes again; so may a last one here.
    claims += claim(12)
    assert len(claims) == len(jobs)
    assert {claim.extraction_id for claim in claims} == jobs


def test_a_claim_of_a_process_that_died_ends_and_its_late_answer_changes_nothing(
    sessions: SessionFactory,
) -> None:
    job = ended(sessions, "http://127.0.0.1:9/")
    with sessions.begin() as session:
        (first,) = webhooks.claim_due(session, 1, timedelta(0))
    with sessions.begin() as session:
        (second,) = webhooks.claim_due(session, 1, timedelta(seconds=60))
    assert (first.id, first.attempt, second.attempt) == (second.id, 1, 2)
    with sessions.begin() as session:
        webhooks.settle(session, first, "200", delivered=True, retry_seconds=[1])
    assert delivery_of(sessions, job).state == "waiting"
    with sessions.begin() as session:
        webhooks.settle(session, second, "200", delivered=True, retry_seconds=[1])
    assert delivery_of(sessions, job).state == "delivered"


def test_an_extraction_without_a_webhook_has_no_delivery(sessions: SessionFactory) -> None:
    with sessions.begin() as session:
        row = extractions.create(session, {"budget": {"macs": 1}}, None)
        webhooks.enqueue(session, row.id)
    with reading(sessions) as session:
        assert webhooks.list_of(session, row.id) == []


def test_the_secret_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    made = Settings(data_dir=tmp_path)
    prepare(made)
    secret = read_secret(made)
    assert secret is not None
    Webhook(secret).sign("id", utc_now(), "{}")
    assert (tmp_path / "webhook-secret").stat().st_mode & 0o777 == 0o600
    prepare(made)
    assert read_secret(made) == secret


def test_without_a_secret_webhooks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WebhookRefused, match="secret"):
        check_webhook(Settings(data_dir=tmp_path), "https://example.com/")
    check_webhook(settings(tmp_path), "https://example.com/")


def wait_for(stack: Stack, job: str, done: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        items = stack.http.get(f"/v1/extractions/{job}/deliveries").json()["items"]
        if items and done(items[0]):
            assert len(items) == 1
            return dict(items[0])
        time.sleep(0.1)
    raise AssertionError(items)


def told(receiver: Receiver, stack: Stack) -> dict[str, Any]:
    secret = (stack.settings.data_dir / "webhook-secret").read_text().strip()
    return verified(receiver.calls[-1], secret)


@pytest.mark.both_databases
def test_a_request_with_a_webhook_is_told_when_it_succeeds(stack: Stack) -> None:
    with receiving() as receiver:
        receiver.statuses = [503, 200]
        job = stack.ask({"macs": "41M"}, webhook={"url": receiver.url})
        assert stack.http.get(f"/v1/extractions/{job['id']}/deliveries").status_code == 200
        delivery = wait_for(stack, job["id"], lambda item: item["state"] == "delivered")
    assert (delivery["attempts"], delivery["answer"]) == (2, "200")
    assert delivery["next_attempt_at"] is None
    message = told(receiver, stack)
    extraction = stack.http.get(f"/v1/extractions/{job['id']}").json()
    assert message["type"] == "extraction.succeeded"
    for name in ("id", "state", "superlm", "artifacts", "problem"):
        assert message["data"][name] == extraction[name], name
    assert stack.key not in json.dumps(message)


def test_a_hostile_webhook_is_refused_and_leaves_no_job(stack: Stack) -> None:
    before = stack.http.get("/v1/extractions?limit=1").json()["items"]
    for url in ("http://169.254.169.254/", "http://0x7f000001:80/", "https://[::ffff:a9fe:a9fe]/"):
        body = {"teacher": "all-MiniLM-L6-v2", "budget": {"macs": "41M"}, "webhook": {"url": url}}
        refused = stack.http.post("/v1/extractions", json=body)
        assert refused.status_code == 422, refused.text
        assert refused.json()["type"] == "/problems/webhook-refused"
    assert stack.http.get("/v1/extractions?limit=1").json()["items"] == before
