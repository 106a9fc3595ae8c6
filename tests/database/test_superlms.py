import pytest

from autodistil.superlm.bundle import SuperLM, open_superlm
from database import superlms
from database.errors import Conflict, NotFound, UnknownSuperLM
from database.session import SessionFactory
from tests.factories import shipped_tiny


@pytest.fixture(scope="module")
def bundle() -> SuperLM:
    return open_superlm(shipped_tiny())


def version(bundle: SuperLM, number: int, name: str = "minilm-l6-tiny") -> SuperLM:
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
        found = {
            reference: superlms.get(session, reference).version
            for reference in ("minilm-l6-tiny", "minilm-l6-tiny@latest", "minilm-l6-tiny@2")
        }
        assert list(found.values()) == [10, 10, 2]
        for reference in ("minilm-l6-tiny@3", "minilm-l6-tiny@x", "nothing", "@1", ""):
            with pytest.raises(NotFound):
                superlms.get(session, reference)
        chosen = superlms.resolve(session, "all-MiniLM-L6-v2", None)
        assert [(row.name, row.version) for row in chosen] == [("minilm-l6-tiny", 10), ("other", 1)]
        assert len(superlms.list_all(session)) == 4
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
