"""Quotas: how many extractions an API key may ask for in 24 hours."""

import datetime
import math
import uuid

from sqlalchemy import select
from sqlalchemy.orm import Session

from database.errors import QuotaExceeded
from database.tables import ApiKeyRow, ExtractionRow, utc_now

_DAY = datetime.timedelta(days=1)


def check(session: Session, key: ApiKeyRow, extractions_per_day: int) -> None:
    """Refuse a further extraction of a key that has used up its quota.

    It belongs in the transaction that adds the extraction. The key's row is locked in it, so that
    requests at once cannot all take the last place.

    Args:
        session: A transaction.
        key: Who asks; its own `extractions_per_day` comes first.
        extractions_per_day: For keys without a number of their own; 0 is no limit.

    Raises:
        QuotaExceeded: Says in `retry_after` when there is a place again, in seconds.
    """
    own = key.extractions_per_day
    quota = extractions_per_day if own is None else own
    if not quota:
        return
    # A lock that lets others refer to the key: two who already do would else wait for each other.
    mine = select(ApiKeyRow.id).where(ApiKeyRow.id == key.id)
    session.execute(mine.with_for_update(key_share=True))
    now = utc_now()
    # Ids begin with the time, so that the day is a range of the primary key.
    places = (
        select(ExtractionRow.created_at)
        .where(ExtractionRow.api_key_id == key.id, ExtractionRow.id >= _first_id(now - _DAY))
        .order_by(ExtractionRow.id.desc())
        .offset(quota - 1)
        .limit(1)
    )
    oldest = session.scalar(places)
    if oldest is not None:
        wait = max(1, math.ceil((oldest + _DAY - now).total_seconds()))
        raise QuotaExceeded(
            f"This API key may ask for {quota:,} extractions in 24 hours and has. The next is "
            f"possible in {wait:,} s.",
            quota=quota,
            retry_after=wait,
        )


def _first_id(time: datetime.datetime) -> str:
    """The least id that can have been made at a time; see `database.tables.new_id`."""
    return str(uuid.UUID(int=int(time.timestamp() * 1000) << 80))
