"""The audit trail: what admins did, written in the transaction that did it."""

from enum import StrEnum
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from database.pages import Page, newest_first
from database.tables import AuditRow


class Action(StrEnum):
    """What an admin can do."""

    SUPERLM_REGISTER = "superlm.register"
    SUPERLM_READY = "superlm.ready"
    SUPERLM_DEPRECATE = "superlm.deprecate"
    SUPERLM_DELETE = "superlm.delete"
    ALIAS_SET = "alias.set"
    ALIAS_DELETE = "alias.delete"
    KEY_CREATE = "key.create"
    KEY_REVOKE = "key.revoke"
    DEVICE_PROFILE = "device.profile"
    DEVICE_FORGET = "device.forget"


def record(
    session: Session, api_key_id: str | None, action: Action, subject: str, **detail: Any
) -> None:
    """Note what was done; it appears if the transaction commits.

    Args:
        session: The transaction that does it.
        api_key_id: Whose key did it.
        action: What was done.
        subject: To what: a reference, an id, a name.
        **detail: JSON values that say more; never a secret.
    """
    session.add(AuditRow(api_key_id=api_key_id, action=action, subject=subject, detail=detail))


def list_page(
    session: Session,
    limit: int,
    before: str | None = None,
    action: Action | None = None,
    api_key_id: str | None = None,
) -> Page[AuditRow]:
    """What was done, the newest first, from the `next_cursor` of the page before on."""
    query = select(AuditRow)
    if action is not None:
        query = query.where(AuditRow.action == action)
    if api_key_id is not None:
        query = query.where(AuditRow.api_key_id == api_key_id)
    return newest_first(session, query, AuditRow.id, limit, before)
