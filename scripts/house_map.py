"""Write docs/architecture.md, the map of the house, from the import contract in pyproject.toml.

    python scripts/house_map.py

The floors are those that `lint-imports` enforces, and what a package is for is the first line of
its docstring; so the page says what the code does.
"""

import ast
import tomllib
from pathlib import Path

_ROOT = Path(__file__).parents[1]
PAGE = _ROOT / "docs" / "architecture.md"

_TEXT = """\
# The map of the house
Written by `python scripts/house_map.py` from the import contract in pyproject.toml, which
`make check` enforces: **nothing imports what stands above it**. Packages on one floor do not import
each other.

## The floors
{house}

`autodistil` is the method. It knows no HTTP, no database and no broker, and has floors of its own:

{method}

## The way of the data
1. A **teacher** is read by its family (`families`, `models`), a corpus becomes tokens (`text`).
2. The teacher is **cut** into the start of a SuperLM and trained (`training`); every student is
   scored on held-out text (`evaluation`), and all of it is written as a **bundle** (`superlm`).
3. A **request** names limits; the table of candidates answers without torch (`search`); a text, a
   device or a task of one's own can be asked as well (`selection`, `latency`, `profiling`,
   `downstream`).
4. The chosen student is **sliced**, exported, and compared with the SuperLM before anyone gets it
   (`extraction`).
5. The service keeps requests as rows (`database`), workers take them (`worker`), and files lie in
   the store (`models_store`).

## Adding a model family
One file in `autodistil/families` that names the family's parts, one line in its registry, and one
file of classes in `autodistil/models/students` for students with any number of heads. Shapes,
slices, costs, permutations, the forward, the start and the export follow from the named parts.
"""


def main() -> None:
    """Write the page."""
    PAGE.write_text(render(), encoding="utf-8")


def render() -> str:
    """The page."""
    contract = tomllib.loads((_ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    house, method = (found["layers"] for found in contract["contracts"])
    return _TEXT.format(house=_table(house, _ROOT), method=_table(method, _ROOT / "autodistil"))


def _table(floors: list[str], folder: Path) -> str:
    """Floors from the highest to the lowest, as a Markdown table."""
    rows = ["| floor | package | what it is for |", "|---:|---|---|"]
    for height, floor in zip(range(len(floors), 0, -1), floors, strict=True):
        for name in floor.split(" | "):
            rows.append(f"| {height} | `{name}` | {_purpose(folder, name)} |")
    return "\n".join(rows)


def _purpose(folder: Path, name: str) -> str:
    package, module = folder / name / "__init__.py", folder / f"{name}.py"
    path = package if package.is_file() else module
    docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
    return docstring.splitlines()[0].replace("|", "\\|")


if __name__ == "__main__":
    main()
