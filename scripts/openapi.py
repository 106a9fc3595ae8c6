"""Writes docs/openapi.json from the code: `python scripts/openapi.py`."""

from pathlib import Path

from service.app import create_app
from service.openapi import render
from worker.settings import Settings

OPENAPI = Path(__file__).parents[1] / "docs" / "openapi.json"

if __name__ == "__main__":
    # The settings do not show in the document; nothing is opened.
    app = create_app(Settings(database_url="sqlite://"))
    OPENAPI.write_text(render(app), encoding="utf-8")
    print(f"wrote {OPENAPI}")
