"""The map of the house is the one that the import contract draws; and what stands where."""

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FAMILY_NAMES = re.compile(
    r"attention\.self|output\.dense|intermediate\.dense|word_embeddings|encoder\.layer\.|"
    r"LayerNorm\.(weight|bias)|pooler\.dense|q_lin|Wqkv"
)


def test_the_map_is_up_to_date() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "house_map.py"))
    if script["PAGE"].read_text(encoding="utf-8") != script["render"]():
        pytest.fail("docs/architecture.md is out of date: run python scripts/house_map.py")


def test_only_families_name_their_tensors() -> None:
    """Outside `families` and the classes that travel with students, parts go by what they do."""
    allowed = (ROOT / "autodistil" / "families", ROOT / "autodistil" / "models" / "students")
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in sorted((ROOT / "autodistil").rglob("*.py"))
        if not any(path.is_relative_to(place) for place in allowed)
        and (match := FAMILY_NAMES.search(path.read_text(encoding="utf-8")))
    ]
    assert found == []
    assert FAMILY_NAMES.search((ROOT / "autodistil" / "families" / "bert.py").read_text())
