"""Devices: their latency profiles, and asking for them to be profiled."""

from typing import Annotated

from fastapi import APIRouter, Path, Response

from autodistil.latency.conditions import DeviceName
from autodistil.latency.device_profile import ProfilingRequest
from database import audit, devices
from service.dependencies import AdminKey, ExtractKey, PartsDep, ReadSession, WriteSession
from service.problems import responses
from service.schemas.base import PlainNumbers
from service.schemas.devices import Device, DeviceDetail, DeviceList
from worker.queue import send_profiling

router = APIRouter(prefix="/v1", tags=["devices"])

Name = Annotated[DeviceName, Path()]


@router.get("/devices", operation_id="list_devices", responses=responses(401, 403))
def list_devices(key: ExtractKey, session: ReadSession) -> DeviceList:
    """Every device with what its profile holds."""
    return DeviceList(items=[Device.of(row) for row in devices.list_all(session)])


@router.get("/devices/{name}", operation_id="get_device", responses=responses(401, 403, 404))
def get_device(name: Name, key: ExtractKey, session: ReadSession) -> DeviceDetail:
    """A device with its whole profile, which the command line takes as a file."""
    return DeviceDetail.of(devices.get(session, name))


@router.post(
    "/admin/devices/{name}/profile",
    status_code=202,
    operation_id="profile_device",
    responses=responses(401, 403, 409, 422),
)
def profile_device(
    name: Name,
    key: AdminKey,
    parts: PartsDep,
    response: Response,
    body: Annotated[ProfilingRequest | None, PlainNumbers] = None,
) -> Device:
    """Have a worker on the device measure students and fit a predictor; poll the `Location`.

    It begins when a worker started with `AUTODISTIL_DEVICE` set to this name is free. The profile
    from before serves until the new one is ready.
    """
    request = (body or ProfilingRequest()).model_dump(mode="json")
    with parts.sessions.begin() as session:
        row = devices.request_profiling(session, name, request)
        audit.record(session, key.id, audit.Action.DEVICE_PROFILE, name)
    # After the commit: a message about a row that nobody can see yet would be dropped.
    if send_profiling(parts.celery, name):
        with parts.sessions.begin() as session:
            devices.mark_sent(session, name)
    response.headers["Location"] = f"/v1/devices/{name}"
    return Device.of(row)


@router.delete(
    "/admin/devices/{name}",
    status_code=204,
    operation_id="delete_device",
    responses=responses(401, 403, 404),
)
def delete_device(name: Name, key: AdminKey, session: WriteSession) -> None:
    """Forget a device and its profile; a profiling under way is dropped."""
    devices.delete(session, name)
    audit.record(session, key.id, audit.Action.DEVICE_FORGET, name)
