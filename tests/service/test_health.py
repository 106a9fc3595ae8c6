import subprocess
import sys

from fastapi.testclient import TestClient

from service.app import create_app
from tests.stack import Stack
from worker.settings import Settings


def test_a_working_stack_is_ready(stack: Stack) -> None:
    assert stack.http.get("/healthz").json()["status"] == "ok"
    ready = stack.http.get("/readyz")
    assert ready.json()["checks"] == {"database": "ok", "broker": "ok", "worker": "ok"}


def test_a_service_without_broker_takes_jobs_and_says_it_is_not_ready(stack: Stack) -> None:
    settings = stack.settings.model_copy(update={"broker_url": "redis://127.0.0.1:9/0"})
    headers = {"Authorization": f"Bearer {stack.key}"}
    with TestClient(create_app(settings), headers=headers) as http:
        assert http.get("/healthz").status_code == 200
        ready = http.get("/readyz")
        assert ready.status_code == 503
        assert ready.json()["checks"]["broker"].startswith("no answer")
        body = {"teacher": "all-MiniLM-L6-v2", "budget": {"macs": 34_000_019}}
        accepted = http.post("/v1/extractions", json=body)
        assert accepted.status_code == 202
    # The sweeper of the service whose broker lives sends it.
    assert stack.wait(accepted.json()["id"])["state"] == "succeeded"


def test_a_service_without_database_answers_503(broker_url: str) -> None:
    settings = Settings(
        database_url="postgresql+psycopg://nobody@127.0.0.1:9/nothing", broker_url=f"{broker_url}/9"
    )
    with TestClient(create_app(settings), raise_server_exceptions=False) as http:
        assert http.get("/healthz").status_code == 200
        assert http.get("/readyz").json()["checks"]["database"].startswith("no answer")
        refused = http.get("/v1/superlms", headers={"Authorization": "Bearer ad_1_2"})
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "5"


def test_the_service_never_imports_torch() -> None:
    code = "import service.app, sys; service.app.create_app(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
