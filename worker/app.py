"""Entry point of the workers: `celery --app worker.app worker --concurrency 1`.

torch is imported when a child starts, once, so that the first extraction does not wait for it.
"""

import datetime
import logging
from functools import lru_cache
from typing import Any

from celery.signals import celeryd_after_setup, worker_process_init

from autodistil.quiet import quiet_transformers
from database.session import open_engine, session_factory
from models_store.artifacts import FolderStore
from worker.queue import EXTRACT_TASK, PROFILE_TASK, device_queue, make_celery
from worker.settings import Settings

settings = Settings()
app = make_celery(settings.broker_url)
logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")


@celeryd_after_setup.connect  # type: ignore[untyped-decorator]
def _listen_on_device_queue(sender: str, instance: Any, **_: Any) -> None:
    if settings.device:
        instance.app.amqp.queues.select_add(device_queue(settings.device))


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


@app.task(name=PROFILE_TASK)  # type: ignore[untyped-decorator]
def profile(device: str) -> None:
    """Profile the device that this worker runs on."""
    from worker.profile import run_profiling

    run_profiling(_workshop(), device)
