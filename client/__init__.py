"""Python client of the REST API. Needs no torch."""

from client.api import ApiProblem, Client

__all__ = ["ApiProblem", "Client"]
