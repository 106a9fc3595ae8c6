import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient

from service.limits import BodyLimit


@pytest.fixture
def http() -> TestClient:
    """An application that answers with the length of the body; at most 100 bytes."""
    app = FastAPI()

    @app.post("/")
    async def length(request: Request) -> int:
        return len(await request.body())

    app.add_middleware(BodyLimit, max_bytes=100)
    return TestClient(app)


def test_a_body_up_to_the_limit_arrives_whole(http: TestClient) -> None:
    for size in (0, 1, 100):
        assert http.post("/", content=b"x" * size).json() == size
    assert http.post("/", content=iter([b"x" * 60, b"x" * 40])).json() == 100


@pytest.mark.parametrize("length", ["101", "9" * 18, "9" * 5000, "-1", "many"])
def test_an_announced_length_over_the_limit_is_refused_unread(
    http: TestClient, length: str
) -> None:
    refused = http.post("/", content=b"x", headers={"Content-Length": length})
    assert refused.status_code == 413
    assert refused.json()["type"].endswith("/too-large")


def test_a_body_of_unannounced_length_is_counted(http: TestClient) -> None:
    refused = http.post("/", content=iter([b"x" * 60, b"x" * 41]))
    assert refused.status_code == 413
    assert refused.headers["content-type"] == "application/problem+json"
