"""The FastAPI application: `uvicorn --factory service.app:create_app`."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI

import autodistil
from database.session import open_engine, session_factory
from models_store.artifacts import FolderStore
from service import problems
from service.catalogue import Catalogue
from service.dependencies import Parts
from service.limits import BodyLimit
from service.routers import admin, artifacts, devices, extractions, health, superlms
from service.sweeper import sweep_forever
from worker.queue import make_celery
from worker.settings import Settings


def create_app(settings: Settings | None = None) -> FastAPI:
    """The API over one database, broker, and store.

    Args:
        settings: Read from the environment by default.
    """
    settings = settings or Settings()
    engine = open_engine(settings.database_url)
    parts = Parts(
        settings=settings,
        sessions=session_factory(engine),
        store=FolderStore(settings.artifacts_dir),
        celery=make_celery(settings.broker_url),
        catalogue=Catalogue(),
    )

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        sweeper = asyncio.create_task(sweep_forever(parts.sessions, parts.celery, settings))
        yield
        sweeper.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sweeper
        parts.celery.close()
        engine.dispose()

    app = FastAPI(
        title="autodistil",
        version=autodistil.__version__,
        summary="POST a budget and get a student checkpoint.",
        lifespan=lifespan,
    )
    app.state.parts = parts
    problems.install(app)
    app.add_middleware(BodyLimit)
    for module in (extractions, artifacts, superlms, devices, admin, health):
        app.include_router(module.router)
    return app
