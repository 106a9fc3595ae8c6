"""What this machine is, as far as it decides how fast a student runs."""

import contextlib
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

from autodistil.versions import software_versions

_Text = Annotated[str, Field(max_length=500)]


class Machine(BaseModel):
    """A machine and the software on it.

    Attributes:
        cpu: Name of its processor.
        cores: Processors that the operating system counts.
        system: Operating system and its version.
        versions: Versions of the libraries that run students, by name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cpu: _Text
    cores: Annotated[int, Field(ge=1)]
    system: _Text
    versions: dict[_Text, _Text]

    @classmethod
    def this(cls) -> Self:
        """The machine this runs on."""
        versions = software_versions()
        with contextlib.suppress(PackageNotFoundError):
            versions["onnxruntime"] = version("onnxruntime")
        return cls(
            cpu=_cpu_name(),
            cores=os.cpu_count() or 1,
            system=platform.platform(),
            versions=versions,
        )

    def same_hardware(self, other: "Machine") -> bool:
        """Whether processor and cores are the same, as far as their names tell."""
        return (self.cpu, self.cores) == (other.cpu, other.cores)


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()
