"""Workers."""

import datetime
from typing import Annotated, Self

from pydantic import BaseModel, Field

from autodistil.latency.machine import Machine
from database.tables import WorkerRow, utc_now

_PERIODS = 3


class Worker(BaseModel):
    """A worker that did not end in order, as it last described itself."""

    name: str
    alive: Annotated[bool, Field(description="Whether it gave a sign of life of late.")]
    device: str | None
    hostname: str
    pid: int
    threads: Annotated[int | None, Field(description="Null: as many as torch takes by itself.")]
    machine: Machine
    busy_with: Annotated[list[str], Field(description="Ids of the extractions it works on.")]
    started_at: datetime.datetime
    seen_at: datetime.datetime

    @classmethod
    def of(cls, row: WorkerRow, owned: dict[str, list[str]], presence_seconds: float) -> Self:
        """From its row.

        Args:
            row: The row.
            owned: Ids of the extractions of each owner of a lease.
            presence_seconds: Time between two signs of life.
        """
        facts = row.facts
        owners = [f"{facts['hostname']}:{pid}" for pid in facts["processes"]]
        unseen = (utc_now() - row.seen_at).total_seconds()
        return cls(
            name=row.name,
            alive=unseen < _PERIODS * presence_seconds,
            device=row.device,
            hostname=facts["hostname"],
            pid=facts["pid"],
            threads=facts["threads"],
            machine=Machine.model_validate(facts["machine"]),
            busy_with=[id_ for owner in owners for id_ in owned.get(owner, [])],
            started_at=row.started_at,
            seen_at=row.seen_at,
        )


class WorkerList(BaseModel):
    """All workers."""

    items: list[Worker]
    next_cursor: None = None
