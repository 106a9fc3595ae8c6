"""The FastAPI application: `uvicorn --factory service.app:create_app`."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI

import autodistil
from database.session import open_engine, session_factory
from models_store.artifacts import FolderStore
from service import openapi, problems
from service.catalogue import Catalogue
from service.dependencies import Parts
from service.limits import BodyLimit
from service.rate_limits import RateLimiter, RateLimitHeaders
from service.routers import (
    admin,
    aliases,
    api_keys,
    artifacts,
    devices,
    events,
    extractions,
    health,
    registrations,
    superlms,
    webhooks,
)
from service.routers import problems as problem_pages
from service.schemas.webhooks import describe
from service.sweeper import sweep_forever
from service.uploads import UPLOAD_PATH
from service.waiting import Watcher
from worker.queue import make_celery
from worker.settings import Settings
from worker.webhooks import Deliveries


def create_app(settings: Settings | None = None) -> FastAPI:
    """The API over one database, broker, and store.

    Args:
        settings: Read from the environment by default.
    """
    settings = settings or Settings()
    engine = open_engine(settings.database_url)
    sessions = session_factory(engine)
    parts = Parts(
        settings=settings,
        sessions=sessions,
        store=FolderStore(settings.artifacts_dir),
        celery=make_celery(settings.broker_url),
        catalogue=Catalogue(),
        rate_limiter=RateLimiter(settings.broker_url),
        watcher=Watcher(sessions),
    )

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        sweeper = asyncio.create_task(sweep_forever(parts.sessions, parts.celery, settings))
        deliveries = Deliveries(parts.sessions, settings, describe)
        webhook_calls = asyncio.create_task(deliveries.run())
        yield
        for task in (sweeper, webhook_calls):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        parts.rate_limiter.close()
        parts.celery.close()
        engine.dispose()

    app = FastAPI(
        title="autodistil",
        version=autodistil.__version__,
        summary="POST a budget and get a student checkpoint.",
        lifespan=lifespan,
        webhooks=webhooks.messages,
    )
    app.state.parts = parts
    problems.install(app)
    app.add_middleware(BodyLimit, streamed={("POST", UPLOAD_PATH)})
    app.add_middleware(RateLimitHeaders)
    for module in (
        extractions,
        events,
        artifacts,
        webhooks,
        superlms,
        devices,
        admin,
        registrations,
        aliases,
        api_keys,
        health,
        problem_pages,
    ):
        app.include_router(module.router)
    openapi.install(app)
    return app
