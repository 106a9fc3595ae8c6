"""Versions of the software that decides the bytes and numbers of a SuperLM or a student."""

import platform
from importlib.metadata import version

import autodistil


def software_versions() -> dict[str, str]:
    """Versions by name, for receipts and provenance."""
    libraries = {name: version(name) for name in ("torch", "transformers", "safetensors")}
    return {"python": platform.python_version(), "autodistil": autodistil.__version__, **libraries}
