"""Python client of the REST API. Needs no torch."""

from client.async_client import AsyncClient
from client.client import Client
from client.errors import ApiProblem, DamagedDownload, NotEndedInTime, ServiceUnreachable
from client.retries import RetryPolicy
from client.types import Artifact, Event, Extraction, Registration, Student

__all__ = [
    "ApiProblem",
    "Artifact",
    "AsyncClient",
    "Client",
    "DamagedDownload",
    "Event",
    "Extraction",
    "NotEndedInTime",
    "Registration",
    "RetryPolicy",
    "ServiceUnreachable",
    "Student",
]
