"""Packages that only some commands need, each part of an extra of this one."""

import importlib
from typing import Any

from autodistil.errors import InvalidInput


def import_optional(package: str, extra: str, work: str) -> Any:
    """Import a package that may be missing.

    Args:
        package: Its name.
        extra: The extra that brings it.
        work: What needs it, as the beginning of the message: `Writing ONNX`.

    Raises:
        InvalidInput: It is not installed; says how to get it.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise InvalidInput(
            f"{work} needs the package {package}: pip install 'autodistil[{extra}]'."
        ) from error
