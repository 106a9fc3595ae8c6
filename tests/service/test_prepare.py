import json
import logging
from pathlib import Path

import pytest
from sqlalchemy import select

from autodistil.superlm.bundle import copy_bundle, open_superlm
from database.session import migrate, open_engine, session_factory
from database.tables import SuperLMRow
from models_store import shipped_bundles
from service.prepare import prepare
from worker.entry import register_bundle
from worker.settings import Settings


def test_a_shipped_superlm_of_an_older_release_stays_as_it_was_registered(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    shipped = open_superlm(next(iter(shipped_bundles())))
    older = copy_bundle(shipped, tmp_path / shipped.spec.name).folder
    spec = json.loads((older / "superlm.json").read_text())
    spec["provenance"]["created_at"] = "2020-01-01T00:00:00+00:00"
    (older / "superlm.json").write_text(json.dumps(spec))
    settings.data_dir.mkdir()
    migrate(settings.database_url)
    sessions = session_factory(open_engine(settings.database_url))
    with sessions.begin() as session:
        row, new = register_bundle(session, older, settings.superlms_dir)
        assert new
        sha256 = row.sha256
    assert sha256 != shipped.sha256

    with caplog.at_level(logging.WARNING):
        prepare(settings)
        prepare(settings)

    with sessions() as session:
        found = {
            f"{row.name}@{row.version}": row.sha256 for row in session.scalars(select(SuperLMRow))
        }
    assert len(found) == len(list(shipped_bundles()))
    assert found[shipped.spec.reference] == sha256
    assert f"{shipped.spec.reference} is registered with other content" in caplog.text
