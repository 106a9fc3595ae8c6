"""A latency limit met by a device's profile: which conditions, and what students would take."""

from collections.abc import Mapping, Sequence

from autodistil.errors import UnknownDevice
from autodistil.latency.conditions import LatencyLimit
from autodistil.latency.device_profile import ConditionsProfile, DeviceProfile
from autodistil.latency.predictor import Sizes

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


def predicted_ms(students: Sequence[Sizes], limit: LatencyLimit, profiles: Profiles) -> list[float]:
    """Milliseconds that students would take, of the limit's percentile.

    Raises:
        UnknownDevice: The limit names no device, or one without a profile.
        UnprofiledConditions: The device was not profiled under these conditions.
    """
    return profile_of(limit, profiles).predictor.predict(students, limit.percentile)
