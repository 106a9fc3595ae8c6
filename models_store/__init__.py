"""Where weights live: the SuperLMs that ship, and the artifacts that jobs produce."""

from pathlib import Path


def shipped_bundles() -> list[Path]:
    """Folders of the SuperLM bundles that ship with the package."""
    root = Path(__file__).with_name("superlms")
    return sorted(path.parent for path in root.glob("*/superlm.json"))
