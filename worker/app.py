"""Entry point of the workers: `celery --app worker.app worker --concurrency 1`.

torch is imported when a child starts, once, so that the first extraction does not wait for it.
"""

import datetime
import logging
from functools import lru_cache
from typing import Any

from celery.signals import (
    celeryd_after_setup,
    worker_process_init,
    worker_ready,
    worker_shutdown,
)

from autodistil.quiet import quiet_transformers
from database.session import open_engine, session_factory
from models_store.artifacts import FolderStore
from models_store.uploads import Uploads
from worker.presence import Presence
from worker.queue import (
    EXTRACT_TASK,
    PROFILE_TASK,
    REGISTER_TASK,
    device_queue,
    make_celery,
)
from worker.settings import Settings

settings = Settings()
app = make_celery(settings.broker_url)
presence = Presence(
    settings.database_url, settings.device or None, settings.threads, settings.presence_seconds
)
logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")


@celeryd_after_setup.connect  # type: ignore[untyped-decorator]
def _listen_on_device_queue(sender: str, instance: Any, **_: Any) -> None:
    if settings.device:
        instance.app.amqp.queues.select_add(device_queue(settings.device))


@worker_ready.connect  # type: ignore[untyped-decorator]
def _begin_signs_of_life(sender: Any, **_: Any) -> None:
    presence.start(sender.hostname, lambda: _processes(sender))


def _processes(consumer: Any) -> list[int]:
    try:
        return list(consumer.pool.info.get("processes", []))
    except AttributeError:  # the pool is being stopped
        return []


@worker_shutdown.connect  # type: ignore[untyped-decorator]
def _end_signs_of_life(**_: Any) -> None:
    presence.stop()


@worker_process_init.connect  # type: ignore[untyped-decorator]  # celery is untyped
def _import_torch(**_: Any) -> None:
    import torch
    from transformers import BertModel

    del BertModel  # importing it is what takes the time
    quiet_transformers()
    if settings.threads:
        torch.set_num_threads(settings.threads)


@lru_cache(maxsize=1)
def _workshop() -> Any:
    from worker.workshop import Workshop

    return Workshop(
        sessions=session_factory(open_engine(settings.database_url)),
        store=FolderStore(settings.artifacts_dir),
        scratch=settings.data_dir / "scratch",
        lease=datetime.timedelta(seconds=settings.lease_seconds),
        max_attempts=settings.max_attempts,
        device=settings.device or None,
        teachers=settings.teachers,
    )


@app.task(name=EXTRACT_TASK)  # type: ignore[untyped-decorator]
def extract(extraction_id: str) -> None:
    """Do one extraction."""
    from worker.extract import run_extraction

    run_extraction(_workshop(), extraction_id)


@lru_cache(maxsize=1)
def _intake() -> Any:
    from worker.register import Intake

    return Intake(
        uploads=Uploads(settings.uploads_dir),
        superlms_dir=settings.superlms_dir,
        hosts=tuple(settings.bundle_hosts),
        max_bytes=settings.max_upload_bytes,
        development_urls=settings.development_bundle_urls,
    )


@app.task(name=REGISTER_TASK)  # type: ignore[untyped-decorator]
def register(registration_id: str) -> None:
    """Do one registration."""
    from worker.register import run_registration

    run_registration(_workshop(), _intake(), registration_id)


@app.task(name=PROFILE_TASK)  # type: ignore[untyped-decorator]
def profile(device: str) -> None:
    """Profile the device that this worker runs on."""
    from worker.profile import run_profiling

    run_profiling(_workshop(), device)
