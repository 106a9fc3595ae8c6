"""Common to all requests."""

from pydantic import BaseModel, ConfigDict


class StrictRequest(BaseModel):
    """A request body without unknown members."""

    model_config = ConfigDict(extra="forbid")
