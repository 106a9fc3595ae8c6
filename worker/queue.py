"""The Celery application as a sender sees it: no tasks, no torch.

A message carries the id of an extraction or a registration, or the name of a device, and nothing
else. The row is the truth about the work: a message that is lost or arrives twice changes nothing.
"""

from celery import Celery
from kombu.exceptions import OperationalError

EXTRACT_TASK = "worker.extract"
PROFILE_TASK = "worker.profile"
REGISTER_TASK = "worker.register"
QUEUE = "extractions"
"""Of work that any worker may do."""


def device_queue(device: str) -> str:
    """The queue of the work that must be done on a device."""
    return f"device.{device}"


def make_celery(broker_url: str) -> Celery:
    """The application, configured for short messages and long work."""
    app = Celery("autodistil", broker=broker_url, set_as_current=False)
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        task_default_queue=QUEUE,
        # The row tells the state of a job; Celery's PENDING also means "never heard of it"
        # (celery #4450).
        result_backend=None,
        task_ignore_result=True,
        # A killed child's message goes back to the queue; attempts are counted in the row, so a
        # task that kills every worker ends all the same.
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        # CUDA does not survive a fork (celery #3402).
        worker_pool_start_method="spawn",
        # A spawned child imports the method before it reports (celery #1715).
        worker_proc_alive_timeout=60.0,
        worker_hijack_root_logger=False,
        worker_soft_shutdown_timeout=10.0,
        broker_connection_retry_on_startup=True,
        broker_connection_timeout=3.0,
        broker_transport_options={
            "visibility_timeout": 3600,
            "socket_timeout": 5.0,
            "socket_connect_timeout": 3.0,
            # A dead broker must not hold an HTTP request; the sweeper sends again.
            "max_retries": 1,
            "interval_start": 0.1,
        },
    )
    return app


def send_extraction(app: Celery, extraction_id: str, device: str | None = None) -> bool:
    """Tell the workers about a queued extraction, only those on a device if one is named.

    Returns:
        Whether the broker took the message; if not, the sweeper sends it later.
    """
    return _send(
        app, EXTRACT_TASK, extraction_id, QUEUE if device is None else device_queue(device)
    )


def send_profiling(app: Celery, device: str) -> bool:
    """Tell the workers on a device that it is to be profiled.

    Returns:
        Whether the broker took the message; if not, the sweeper sends it later.
    """
    return _send(app, PROFILE_TASK, device, device_queue(device))


def send_registration(app: Celery, registration_id: str) -> bool:
    """Tell the workers about a bundle that waits to be registered.

    Returns:
        Whether the broker took the message; if not, the sweeper sends it later.
    """
    return _send(app, REGISTER_TASK, registration_id, QUEUE)


def _send(app: Celery, task: str, argument: str, queue: str) -> bool:
    try:
        app.send_task(task, args=[argument], queue=queue, retry=False)
    except (OperationalError, OSError):
        return False
    return True
