"""The `Idempotency-Key` header: a request that is repeated gets the answer to the first."""

from typing import Annotated

from fastapi import Header

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="A text of your own, new for each request, such as a UUID. A request repeated "
        "with it within a day is answered with the same job, and makes no other.",
        examples=["0d7c3a34-3f2c-4d0e-9a43-1b7f2c1c8a55"],
    ),
]
"""Up to 255 visible ASCII characters."""

REPLAYED = {"Idempotency-Replayed": "true"}
"""Headers of an answer about a job that an earlier request made."""
