"""Makes a database and a store ready for the first request: `python -m service.prepare`.

The schema is brought up to date, the shipped SuperLMs are registered, and an admin key is written
if there is none yet. Doing it again changes nothing.
"""

import os
from pathlib import Path

from database import api_keys
from database.session import migrate, open_engine, session_factory
from models_store import shipped_bundles
from service.registration import register_bundle
from worker.settings import Settings


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
            register_bundle(session, bundle, settings.superlms_dir)
    key_file = settings.data_dir / "admin-key"
    if not key_file.is_file():
        with sessions.begin() as session:
            _, key = api_keys.create_key(session, "first admin key", ["admin"])
            mode = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            with os.fdopen(os.open(key_file, mode, 0o600), "w") as file:
                file.write(key + "\n")
    engine.dispose()
    return key_file


if __name__ == "__main__":
    print(f"ready; the first admin key is in {prepare(Settings())}")
