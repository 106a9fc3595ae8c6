"""Requests that bring their own text, and fronts: the API and a worker in this process."""

import datetime
import json
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from fastapi.testclient import TestClient

import service.acceptance
import worker.extract
from autodistil.evaluation.quality import Score
from autodistil.models.teacher import Teacher, load_teacher
from autodistil.search.budget import Budget
from autodistil.search.choice import search
from autodistil.search.fronts import CostAxis, pareto_front
from autodistil.selection.on_text import hash_sentences, search_domain
from autodistil.superlm.bundle import SPEC, SuperLM
from autodistil.superlm.entries import entries_of
from autodistil.text.corpus import tokenize_corpus
from database import extractions
from database.session import SessionFactory, open_engine, reading, session_factory
from models_store.artifacts import FolderStore
from models_store.texts import put_text, read_text
from service.app import create_app
from service.prepare import prepare
from tests.factories import (
    STOCK_SPACE,
    make_bundle,
    sentence,
    whole_texts,
    write_corpus,
    write_teacher,
)
from worker.entry import register_bundle
from worker.extract import run_extraction
from worker.settings import Settings
from worker.workshop import Workshop

RNG = random.Random(7)
TEXT = [sentence(RNG) for _ in range(30)]
BODY = {"superlm": "stock@1", "budget": {"macs": "90%"}}


@dataclass(frozen=True)
class Place:
    """A service with a registered SuperLM of a made-up teacher, and a worker's means."""

    http: TestClient
    sessions: SessionFactory
    workshop: Workshop
    superlm: SuperLM
    teacher: Teacher

    def ask(self, **more: Any) -> dict[str, Any]:
        response = self.http.post("/v1/extractions", json={**BODY, **more})
        assert response.status_code == 202, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def run(self, extraction_id: str, workshop: Workshop | None = None) -> dict[str, Any]:
        run_extraction(workshop or self.workshop, extraction_id)
        answer: dict[str, Any] = self.http.get(f"/v1/extractions/{extraction_id}").json()
        return answer


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, broker_url: str) -> Iterator[Place]:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("place")
    teacher = load_teacher(str(write_teacher(folder / "tiny-teacher")))
    corpus = tokenize_corpus(write_corpus(folder / "corpus"), teacher.tokenizer, folder / "cache")
    superlm = make_bundle(teacher, STOCK_SPACE, whole_texts(corpus, teacher), folder, "stock")
    settings = Settings(
        data_dir=folder / "data",
        broker_url=f"{broker_url}/5",
        teachers={"tiny-teacher": str(folder / "tiny-teacher")},
        max_text_characters=5_000,
    )
    key = prepare(settings).read_text().strip()
    engine = open_engine(settings.database_url)
    sessions = session_factory(engine)
    with sessions.begin() as session:
        register_bundle(session, superlm.folder, settings.superlms_dir)
    workshop = Workshop(
        sessions,
        FolderStore(settings.artifacts_dir),
        folder / "scratch",
        datetime.timedelta(seconds=30),
        max_attempts=2,
        teachers=settings.teachers,
    )
    with TestClient(create_app(settings), headers={"Authorization": f"Bearer {key}"}) as http:
        yield Place(http, sessions, workshop, superlm, teacher)
    engine.dispose()


def test_the_student_is_the_best_one_on_the_text(place: Place) -> None:
    asked = place.ask(text=TEXT)
    reference = {
        "sha256": hash_sentences(TEXT),
        "sentences": 30,
        "characters": sum(map(len, TEXT)),
    }
    assert asked["request"]["text"] == reference
    done = place.run(asked["id"])
    assert done["state"] == "succeeded", done
    superlms = {"stock@1": place.superlm}
    entries, budget = entries_of([place.superlm]), Budget(macs="90%")
    expected = search_domain(superlms, entries, budget, place.teacher, TEXT)
    assert done["receipt"]["domain"] == expected.receipt.model_dump(mode="json")
    best = search(expected.entries, budget).best.candidate
    assert done["architecture"] == best.architecture.model_dump()
    assert done["receipt"]["quality"] == pytest.approx(best.quality, rel=1e-6)
    without = place.run(place.ask()["id"])
    assert without["receipt"]["domain"] is None
    assert without["receipt"]["quality"] != done["receipt"]["quality"]


def test_the_text_is_kept_apart_and_its_hash_tells_requests_apart(place: Place) -> None:
    one, other = place.ask(text=TEXT[::-1]), place.ask(text=TEXT[1:])
    with reading(place.sessions) as session:
        requests = [extractions.get(session, asked["id"]).request for asked in (one, other)]
    assert requests[0] != requests[1]
    assert TEXT[0] not in str(requests)
    assert read_text(place.workshop.store, one["request"]["text"]["sha256"]) == TEXT[::-1]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ([], "has 0 sentences; 16 at least"),
        (["a b"] * 15, "has 15 sentences"),
        (["a " * 400] * 16, "more than 5,000 characters"),
        ("a text", "list"),
        ([1] * 20, "string"),
    ],
)
def test_text_that_cannot_be_used_is_refused_at_once(
    place: Place, text: object, reason: str
) -> None:
    refused = place.http.post("/v1/extractions", json={**BODY, "text": text})
    assert refused.status_code == 422
    assert refused.headers["content-type"] == "application/problem+json"
    assert reason in refused.json()["detail"]


def test_without_the_teacher_text_is_refused_with_what_to_do(place: Place) -> None:
    body = {"teacher": "all-MiniLM-L6-v2", "budget": {"macs": "90%"}, "text": TEXT}
    refused = place.http.post("/v1/extractions", json=body)
    assert refused.status_code == 422
    problem = refused.json()
    assert problem["type"].endswith("/teacher-unavailable")
    assert "AUTODISTIL_TEACHERS" in problem["detail"]
    assert problem["teachers"] == ["tiny-teacher"]
    job = place.ask(text=TEXT[2:])["id"]  # a worker that knows less than the API
    done = place.run(job, replace(place.workshop, teachers={}))
    assert (done["state"], done["artifacts"]) == ("failed", [])
    assert done["problem"]["type"].endswith("/teacher-unavailable")


def test_a_folder_with_another_teacher_fails_the_job(place: Place, tmp_path: Path) -> None:
    other = write_teacher(tmp_path / "tiny-teacher", seed=1)
    workshop = replace(place.workshop, teachers={"tiny-teacher": str(other)})
    done = place.run(place.ask(text=TEXT[3:])["id"], workshop)
    assert done["state"] == "failed"
    assert done["problem"]["type"].endswith("/teacher-mismatch")


def test_a_text_that_is_gone_or_altered_fails_the_job(place: Place) -> None:
    for spoil in (Path.unlink, lambda path: path.write_text('["another", "text"]')):
        text = [*TEXT, str(spoil)]
        job = place.ask(text=text)["id"]
        spoil(place.workshop.store.path(hash_sentences(text)))
        done = place.run(job)
        assert done["state"] == "failed"
        assert done["problem"]["type"].endswith("/text-gone")


def test_a_text_goes_with_the_last_job_that_reads_it(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = TEXT[5:]
    path = place.workshop.store.path(hash_sentences(text))
    jobs = [place.ask(text=text, budget={"macs": macs})["id"] for macs in ("90%", "80%")]
    for job in jobs:
        assert path.is_file()
        place.run(job)
        assert place.http.delete(f"/v1/extractions/{job}/artifacts").status_code == 204
    assert not path.exists()

    def put_and_lose(*arguments: Any) -> str:
        sha256 = put_text(*arguments)
        if path.is_file():
            monkeypatch.undo()  # once
            assert place.http.delete(f"/v1/extractions/{jobs[0]}/artifacts").status_code == 204
            assert not path.exists()
        return sha256

    monkeypatch.setattr(service.acceptance, "put_text", put_and_lose)
    job = place.ask(text=text, budget={"macs": "85%"})["id"]
    assert path.is_file()
    assert place.run(job)["state"] == "succeeded"


def test_what_is_registered_meanwhile_does_not_change_the_answer(
    place: Place, tmp_path: Path
) -> None:
    job = place.ask(superlm="stock", budget={"macs": "70%"})["id"]
    newer = shutil.copytree(place.superlm.folder, tmp_path / "newer")
    spec = json.loads((newer / SPEC).read_text())
    (newer / SPEC).write_text(json.dumps({**spec, "version": 2}))
    settings = place.http.app.state.parts.settings  # type: ignore[attr-defined]
    with place.sessions.begin() as session:
        register_bundle(session, newer, settings.superlms_dir)
    refused = place.http.delete("/v1/admin/superlms/stock@1")
    assert (refused.status_code, refused.json()["extractions"][-1]) == (409, job)
    assert place.run(job)["superlm"] == "stock@1"
    after = place.ask(superlm="stock", budget={"macs": "70%"})["id"]
    assert place.run(after)["superlm"] == "stock@2"
    assert place.http.delete("/v1/admin/superlms/stock@2").status_code == 204


def test_a_cancel_while_students_are_scored_on_the_text_cancels(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = place.ask(text=TEXT[4:])["id"]
    original = worker.extract.search_on_text

    def cancel_first(*arguments: Any) -> Any:
        with place.sessions.begin() as session:
            extractions.request_cancel(session, job)
        return original(*arguments)

    monkeypatch.setattr(worker.extract, "search_on_text", cancel_first)
    done = place.run(job)
    assert (done["state"], done["artifacts"], done["receipt"]) == ("canceled", [], None)


def test_a_text_is_stored_once(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    assert put_text(store, TEXT) == put_text(store, TEXT) == hash_sentences(TEXT)
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 1


@pytest.mark.parametrize("x", ["macs", "params", "bytes"])
@pytest.mark.parametrize("score", ["quality", "loss"])
def test_the_frontier_of_a_superlm(place: Place, x: str, score: str) -> None:
    answer = place.http.get("/v1/superlms/stock/frontier", params={"x": x, "score": score}).json()
    front = pareto_front(entries_of([place.superlm]), CostAxis(x), Score(score))
    assert (answer["superlm"], answer["x"], answer["y"]) == ("stock@1", x, score)
    assert [row["params"] for row in answer["items"]] == [e.candidate.params for e in front]
    assert [row["quality"] for row in answer["items"]] == [e.candidate.quality for e in front]


@pytest.mark.parametrize(
    ("query", "status", "reason"),
    [
        ("x=colour", 422, "x"),
        ("x=macs&colour=red", 422, "colour"),
        ("x=latency", 422, "names no device"),
        ("x=latency&device=pixel", 422, "pixel"),
        ("x=latency&device=pixel&batch_size=0", 422, "batch_size"),
    ],
)
def test_a_frontier_that_cannot_be_drawn_is_refused(
    place: Place, query: str, status: int, reason: str
) -> None:
    refused = place.http.get(f"/v1/superlms/stock/frontier?{query}")
    assert refused.status_code == status
    assert reason in refused.json()["detail"]
    assert place.http.get("/v1/superlms/nothing/frontier").status_code == 404


def test_a_plan_says_by_which_score_it_chose(place: Place) -> None:
    plan = place.http.post("/v1/plans", json=BODY).json()
    assert plan["score"] == "quality"
    assert (
        plan["choice"]["quality"]
        == search(entries_of([place.superlm]), Budget(macs="90%")).best.candidate.quality
    )
    refused = place.http.post("/v1/plans", json={**BODY, "text": TEXT})
    assert refused.status_code == 422  # a plan has no time for it
