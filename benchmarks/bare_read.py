"""The least that reading a job can cost: FastAPI, SQLAlchemy, one SELECT by primary key, JSON.

Served by `benchmarks/waiting_times.py` beside the service, over the same database.
"""

import os
from typing import Any

from fastapi import FastAPI
from sqlalchemy import create_engine
from sqlalchemy.orm import noload, sessionmaker

from database.tables import Base, ExtractionRow


def create_app() -> FastAPI:
    """The application over the database of BARE_DATABASE_URL."""
    app = FastAPI()
    sessions = sessionmaker(create_engine(os.environ["BARE_DATABASE_URL"]))
    columns = [column.key for column in Base.metadata.tables["extractions"].columns]

    @app.get("/rows/{row_id}")
    def read(row_id: str) -> dict[str, Any]:
        with sessions() as session:
            row = session.get_one(ExtractionRow, row_id, options=[noload("*")])
            return {name: getattr(row, name) for name in columns}

    return app
