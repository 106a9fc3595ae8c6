"""Makes a database and a store ready for the first request: `python -m service.prepare`.

The schema is brought up to date, the shipped SuperLMs are registered, and an admin key and a secret
that signs webhooks are written if there are none yet. Doing it again changes nothing.
"""

import logging
import os
from pathlib import Path

from sqlalchemy.orm import Session

from database import api_keys
from database.errors import Conflict
from database.session import migrate, open_engine, session_factory
from models_store import shipped_bundles
from worker.entry import register_bundle
from worker.settings import Settings
from worker.webhooks import new_secret

_log = logging.getLogger(__name__)


def prepare(settings: Settings) -> Path:
    """Prepare what the settings name.

    Returns:
        The file that holds the first admin key, readable by its owner alone.
    """
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    migrate(settings.database_url)
    engine = open_engine(settings.database_url)
    sessions = session_factory(engine)
    for bundle in shipped_bundles():
        with sessions.begin() as session:
            _register(session, bundle, settings.superlms_dir)
    key_file = settings.data_dir / "admin-key"
    if not key_file.is_file():
        with sessions.begin() as session:
            _, key = api_keys.create_key(session, "first admin key", ["admin"])
        # After the commit: a file left by a crash before it would hold a key that never works.
        _write_secret(key_file, key)
    webhook_secret = settings.webhook_secret_file
    if not webhook_secret.is_file():
        _write_secret(webhook_secret, new_secret())
    engine.dispose()
    return key_file


def _register(session: Session, bundle: Path, superlms_dir: Path) -> None:
    """Register a shipped bundle; one that an older release registered keeps its place."""
    try:
        register_bundle(session, bundle, superlms_dir)
    except Conflict as conflict:
        _log.warning("The shipped bundle %s was left out. %s", bundle.name, conflict.detail)


def _write_secret(path: Path, text: str) -> None:
    """Write a file that its owner alone may read; it appears only when it is whole."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text + "\n")
    partial.replace(path)


if __name__ == "__main__":
    print(f"ready; the first admin key is in {prepare(Settings())}")
