"""What a teacher is called: by the name that people know, where its files say one."""

import re
from pathlib import Path
from typing import NamedTuple

from autodistil.errors import InvalidInput
from autodistil.models.model_files import ModelFiles

_CACHED = re.compile(r"models--(?P<owner>[^/]+?)--(?P<model>[^/]+)")
"""Folder of a model in the cache of the hub."""
_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?", re.ASCII)
_OF_NOBODY = re.compile(
    r"(checkpoint|output|outputs|model|models|final|best|tmp|temp|teacher|bert)([-_.]?\d+)?", re.I
)
"""What a training calls its folders; such a name says nothing to others."""
_HEADING = re.compile(r"^# +(\S+) *$", re.M)
_IN_INDEX = re.compile(r"^model-index:\s*\n\s*-\s+name:\s*['\"]?(\S+?)['\"]?\s*$", re.M)


class TeacherName(NamedTuple):
    """A teacher's name, and where it was found.

    Attributes:
        name: The name.
        source: Where it was found, in words.
    """

    name: str
    source: str


def find_name(name: str) -> TeacherName:
    """What the teacher of a folder, or of an id on the hub, is called.

    Its id in the cache of the hub; else the name in its card; else that in its `config.json`, which
    of a fine-tuned model may be the one that it was made from; else the folder's.
    """
    files = ModelFiles(name)
    if files.folder is None:
        return TeacherName(name, "its id on the hub")
    folder = files.folder.resolve()
    if cached := next(filter(None, map(_CACHED.fullmatch, folder.parts)), None):
        return TeacherName(f"{cached['owner']}/{cached['model']}", "the cache of the hub")
    if found := _in_card(folder / "README.md"):
        return TeacherName(found, "its card, README.md")
    try:
        known = files.read_object("config.json").get("_name_or_path")
    except InvalidInput:
        known = None
    if isinstance(known, str) and _is_name(known) and not Path(known).exists():
        return TeacherName(known, "its config.json")
    return TeacherName(folder.name, "its folder")


def _in_card(path: Path) -> str | None:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    front, body = "", text
    if text.startswith("---\n"):
        front, _, body = text[4:].partition("\n---\n")
    if (found := _IN_INDEX.search(front)) and _is_name(found[1]):
        return found[1]
    heading = _HEADING.search(body)
    # One word could be any heading: the names of models have a sign or a number in them.
    if heading and _is_name(heading[1]) and re.search(r"[-_/.\d]", heading[1]):
        return heading[1]
    return None


def _is_name(text: str) -> bool:
    return bool(_NAME.fullmatch(text)) and not _OF_NOBODY.fullmatch(text.rpartition("/")[2])
