"""The profiling of this worker's device, from the claim to the stored profile."""

import logging
import time

from autodistil.latency.device_profile import ProfilingRequest
from autodistil.profiling.device import profile_spaces
from database import devices, superlms
from database.errors import LeaseLost
from database.session import reading
from worker.lease import claim, held, this_owner
from worker.workshop import Workshop

log = logging.getLogger(__name__)

_REPORT_SECONDS = 1.0


def run_profiling(workshop: Workshop, device: str) -> None:
    """Profile a device, if that is still asked for.

    Every outcome is a state of the row. A message about a row that is taken, ended, or gone is
    dropped.
    """
    owner = this_owner()
    request = claim(workshop, devices, device, owner)
    if request is None:
        log.info("the profiling of %s is taken or ended", device)
        return
    try:
        with held(workshop, devices, device, owner):
            _work(workshop, device, owner, ProfilingRequest.model_validate(request))
    except LeaseLost:
        log.warning("the profiling of %s was taken over or asked for anew", device)


def _work(workshop: Workshop, device: str, owner: str, request: ProfilingRequest) -> None:
    import torch

    workshop.check_device(device)
    with reading(workshop.sessions) as session:
        specs = [superlms.read_spec(row) for row in superlms.list_newest(session)]
    reported = time.monotonic()

    def on_turn(turn: int, turns: int) -> None:
        nonlocal reported
        if time.monotonic() - reported > _REPORT_SECONDS:
            with workshop.sessions.begin() as session:
                devices.report(session, device, owner, 100 * turn // turns)
            reported = time.monotonic()

    profile = profile_spaces(device, specs, request, torch.get_num_threads(), on_turn=on_turn)
    with workshop.sessions.begin() as session:
        devices.succeed(session, device, owner, profile)
