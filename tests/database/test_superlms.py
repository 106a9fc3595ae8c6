import threading
import time

import pytest

from autodistil.superlm.bundle import SuperLM, open_superlm
from database import aliases, extractions, superlm_deletion, superlms
from database.errors import Conflict, NotFound, UnknownSuperLM
from database.session import SessionFactory
from tests.factories import shipped_narrow


@pytest.fixture(scope="module")
def bundle() -> SuperLM:
    return open_superlm(shipped_narrow())


def version(bundle: SuperLM, number: int, name: str = "minilm-l6-narrow") -> SuperLM:
    spec = bundle.spec.model_copy(update={"version": number, "name": name})
    return SuperLM(bundle.folder, spec, bundle.sha256, bundle.candidates)


def test_references_find_the_newest_or_the_named_version(
    sessions: SessionFactory, bundle: SuperLM
) -> None:
    with sessions.begin() as session:
        for number in (1, 10, 2):
            superlms.register(session, version(bundle, number))
        superlms.register(session, version(bundle, 1, "other"))
    with sessions.begin() as session:
        named = {
            reference: superlms.get(session, reference).version
            for reference in ("minilm-l6-narrow", "minilm-l6-narrow@latest", "minilm-l6-narrow@2")
        }
        assert list(named.values()) == [10, 10, 2]
        for reference in ("minilm-l6-narrow@3", "minilm-l6-narrow@x", "nothing", "@1", ""):
            with pytest.raises(NotFound):
                superlms.get(session, reference)
        chosen = superlms.resolve(session, "all-MiniLM-L6-v2", None)
        assert [(row.name, row.version) for row in chosen] == [
            ("minilm-l6-narrow", 10),
            ("other", 1),
        ]
        page = superlms.list_page(session, 3, after=("minilm-l6-narrow", 1))
        found = [(row.name, row.version) for row in page.items]
        assert found == [("minilm-l6-narrow", 2), ("minilm-l6-narrow", 10), ("other", 1)]
    with pytest.raises(Conflict), sessions.begin() as session:
        superlms.register(session, version(bundle, 2))


def test_an_unknown_teacher_or_superlm_is_answered_with_what_is_known(
    sessions: SessionFactory, bundle: SuperLM
) -> None:
    with sessions.begin() as session, pytest.raises(UnknownSuperLM, match="none is"):
        superlms.resolve(session, "bert", None)
    with sessions.begin() as session:
        superlms.register(session, bundle)
    for teacher, superlm in (("bert", None), (None, "bert@1")):
        with sessions.begin() as session, pytest.raises(UnknownSuperLM) as refused:
            superlms.resolve(session, teacher, superlm)
        assert refused.value.members["superlms"] == [bundle.spec.reference]
        assert refused.value.members["teachers"] == ["all-MiniLM-L6-v2"]


def test_a_registered_superlm_is_what_was_opened(sessions: SessionFactory, bundle: SuperLM) -> None:
    with sessions.begin() as session:
        superlms.register(session, bundle)
    with sessions.begin() as session:
        assert superlms.opened(superlms.get(session, bundle.spec.name)) == bundle


def test_the_newest_is_the_newest_that_is_not_deprecated(
    sessions: SessionFactory, bundle: SuperLM
) -> None:
    with sessions.begin() as session:
        for number in (1, 2):
            superlms.register(session, version(bundle, number, "one"))
        superlms.register(session, version(bundle, 1, "two"))
        superlms.deprecate(session, "one@2", "slow")
        superlms.deprecate(session, "two@1", "slow")
    with sessions.begin() as session:
        chosen = superlms.resolve(session, "all-MiniLM-L6-v2", None)
        assert [(row.name, row.version) for row in chosen] == [("one", 1)]
        assert superlms.resolve(session, None, "two@1")[0].deprecated == "slow"
        with pytest.raises(UnknownSuperLM, match="name a version to use one that is: two@1"):
            superlms.resolve(session, None, "two")
        assert superlms.list_page(session, 9, teacher="bert").items == []
        named = superlms.list_page(session, 9, name="one", deprecated=False)
        assert [row.version for row in named.items] == [1]


def test_a_version_that_a_job_under_way_may_choose_is_not_deleted(
    sessions: SessionFactory, bundle: SuperLM
) -> None:
    with sessions.begin() as session:
        for number in (1, 2):
            superlms.register(session, version(bundle, number, "one"))
        aliases.point(session, "one", "stable", 1)
        ids = superlms.pin(session, superlms.resolve(session, None, "one@stable"))
        job = extractions.create(session, {"budget": {"macs": 1}}, None, superlm_ids=ids).id
        aliases.point(session, "one", "stable", 2)  # the job chooses from what it meant before
    with pytest.raises(Conflict) as refused, sessions.begin() as session:
        superlm_deletion.delete(session, "one@1")
    assert refused.value.members["extractions"] == [job]
    with sessions.begin() as session:
        rows = superlms.resolve(session, None, "one@1")
        extractions.request_cancel(session, job)
        superlm_deletion.delete(session, "one@1")
    with pytest.raises(UnknownSuperLM, match="just been deleted"), sessions.begin() as session:
        superlms.pin(session, rows)
    with sessions.begin() as session:
        with pytest.raises(UnknownSuperLM, match="not there"):
            superlms.pinned(session, ids)
        assert [row.version for row in superlms.list_page(session, 9).items] == [2]


def test_a_deletion_waits_for_a_request_that_is_being_added(
    sessions: SessionFactory, bundle: SuperLM
) -> None:
    with sessions.begin() as session:
        superlms.register(session, version(bundle, 1, "one"))
    outcome: list[str] = []

    def delete() -> None:
        try:
            with sessions.begin() as session:
                superlm_deletion.delete(session, "one@1")
        except Conflict:
            outcome.append("refused")

    with sessions.begin() as session:
        ids = superlms.pin(session, superlms.resolve(session, None, "one"))
        thread = threading.Thread(target=delete)
        thread.start()
        time.sleep(0.3)  # in which it would be done, if it did not wait
        extractions.create(session, {"budget": {"macs": 1}}, None, superlm_ids=ids)
    thread.join()
    assert outcome == ["refused"]
