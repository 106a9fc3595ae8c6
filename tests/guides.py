"""The commands of the guides, as a reader would copy them."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

GUIDES = Path(__file__).parents[1] / "docs" / "guides"

RUN = ("sh", "python")
KEEPS_RUNNING = "sh keeps-running"
SHOWN_ONLY = ("json",)

_FENCED = re.compile(r"^```(?P<kind>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block of a guide.

    Attributes:
        section: The heading that it stands under; the title if it stands before the first.
        kind: What stands behind the fence: a language, and what is special about it.
        text: The block.
    """

    section: str
    kind: str
    text: str

    @property
    def script(self) -> str:
        """The block as a part of a shell script."""
        if self.kind == "python":
            return f"python - <<'END_OF_BLOCK'\n{self.text}END_OF_BLOCK\n"
        return self.text


def blocks_of(guide: Path) -> list[Block]:
    """The blocks of a guide, in their order."""
    found = []
    for part in re.split(r"^#+ ", guide.read_text(), flags=re.MULTILINE)[1:]:
        section, _, content = part.partition("\n")
        found += [
            Block(section, match["kind"], match["text"]) for match in _FENCED.finditer(content)
        ]
    return found


def scripts_of(guide: Path) -> dict[str, str]:
    """What a reader of each section would run, as shell scripts by the section's heading.

    A part of a section relies on what the section ran before, and on no other section.
    """
    scripts: dict[str, str] = {}
    for block in blocks_of(guide):
        if block.kind in RUN:
            begun = scripts.setdefault(block.section, "set -euo pipefail\n")
            scripts[block.section] = begun + block.script
    return scripts


def split_command(line: str) -> tuple[dict[str, str], list[str]]:
    """A line of a shell without its comment: the variables set before the command, and that."""
    words = shlex.split(line, comments=True)
    variables = {}
    while re.match(r"[A-Z_]+=", words[0]):
        name, _, variables[name] = words.pop(0).partition("=")
    return variables, words
