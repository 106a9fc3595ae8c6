"""A latency limit met by a device's profile: which conditions, and what students would take."""

from collections.abc import Mapping, Sequence

from autodistil.errors import UnknownDevice
from autodistil.latency.conditions import LatencyLimit
from autodistil.latency.device_profile import ConditionsProfile, DeviceProfile
from autodistil.latency.predictor import Prediction, Sizes

Profiles = Mapping[str, DeviceProfile]
"""Profiles by the names of their devices."""


def profile_of(limit: LatencyLimit, profiles: Profiles) -> ConditionsProfile:
    """What is known of the limit's device under the limit's conditions.

    Raises:
        UnknownDevice: The limit names no device, or one without a profile.
        UnprofiledConditions: The device was not profiled under these conditions.
    """
    if limit.device is None or limit.device not in profiles:
        known = ", ".join(profiles) or "none yet"
        asked = "names no device" if limit.device is None else f"names the device {limit.device!r}"
        raise UnknownDevice(
            f"The latency limit {asked}; devices with a latency profile: {known}. "
            "Profile one with 'autodistil device profile', or limit macs, params, or size_bytes "
            "instead.",
            devices=list(profiles),
        )
    return profiles[limit.device].under(limit)


def predict_latency(
    students: Sequence[Sizes], limit: LatencyLimit, profiles: Profiles
) -> list[Prediction]:
    """What students would take, of the limit's percentile, in milliseconds.

    Args:
        students: The students.
        limit: Names the device, the conditions, and the percentile; its own ms do not matter.
        profiles: The profiled devices.

    Raises:
        UnknownDevice: The limit names no device, or one without a profile.
        UnprofiledConditions: The device was not profiled under these conditions.
    """
    return profile_of(limit, profiles).predict(students, limit.percentile)
