"""Which classes load students: those of `transformers`, or this project's where it has none."""

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

from autodistil.families.architecture import Architecture
from autodistil.families.encoder import EncoderConfig

_PREFIX = "autodistil-"
_STUDENTS = Path(__file__).parent / "students"

HEADS_FILE = _STUDENTS / "any_heads.py"
"""What all of its files share."""

_TASKS = ("SequenceClassification", "TokenClassification", "QuestionAnswering", "MaskedLM")
OWN_CLASSES = {
    "AutoConfig": "StudentConfig",
    "AutoModel": "StudentModel",
    **{f"AutoModelFor{task}": f"StudentFor{task}" for task in _TASKS},
}
"""What the classes are called in every file of `students`, by the class that loads them."""


def own_type(family: str) -> str:
    """`model_type` of students with a class of this project's."""
    return _PREFIX + family


def family_of(model_type: object) -> str | None:
    """The family of such a `model_type`; None if it is another one."""
    if isinstance(model_type, str) and model_type.startswith(_PREFIX):
        return model_type.removeprefix(_PREFIX)
    return None


def own_file(family: str) -> Path:
    """The file that defines the classes."""
    return _STUDENTS / f"{family.replace('-', '_')}.py"


def own_module(family: str) -> ModuleType:
    """The module that defines the classes."""
    return importlib.import_module(f"{__package__}.students.{own_file(family).stem}")


def student_class(encoder: EncoderConfig, architecture: Architecture) -> Any:
    """The class that holds a student of these sizes."""
    import transformers

    if architecture.stock:
        return getattr(transformers, encoder.model_class)
    return getattr(own_module(encoder.family), OWN_CLASSES["AutoModel"])
