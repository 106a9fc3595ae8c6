"""Students and floors in one Markdown table, from the file of scores of `autodistil evaluate`.

    python benchmarks/table.py teacher=FOLDER MODEL ... --reference teacher --scores FILE

MODEL is a folder or name=folder, as for `autodistil evaluate ... --out FILE`, which must have run
before with `--tasks stsb-zero-shot,probes,retrieval`. Bytes are those of all weights in the folder,
tokenizers not counted. Run by `make measures`.
"""

import argparse
import datetime
import platform
from pathlib import Path

from autodistil.downstream.score_table import share
from autodistil.downstream.scored_folder import describe_model
from autodistil.downstream.scores import ModelScores, Role, ScoreFile, summarize
from autodistil.downstream.vector_scoring import RETRIEVAL, TEACHERS_INDEX, ZERO_SHOT

_WEIGHTS = (".safetensors", ".bin")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--reference", required=True)
    parser.add_argument("--scores", type=Path, required=True)
    arguments = parser.parse_args()
    folders = {}
    for argument in arguments.models:
        name, _, folder = argument.rpartition("=")
        folders[name or Path(folder).name] = Path(folder)
    if arguments.reference not in folders:
        parser.error(f"--reference {arguments.reference}: the models are {', '.join(folders)}")
    file = ScoreFile(arguments.scores)
    rows = {name: read_row(name, folder, file) for name, folder in folders.items()}
    reference, whole = rows[arguments.reference], folders[arguments.reference]
    print(
        "| model | MACs | params | bytes | STS-B | probes | recall@10 | in the teacher's index |\n"
        "|---|---|---|---|---|---|---|---|"
    )
    for name, row in rows.items():
        cells = [
            cost_text(row.model.macs, reference.model.macs),
            cost_text(row.model.params, reference.model.params),
            cost_text(weight_bytes(folders[name]), weight_bytes(whole)),
            score_text(row.value(ZERO_SHOT), reference.value(ZERO_SHOT)),
            score_text(row.value("probes"), reference.value("probes")),
            score_text(row.value(RETRIEVAL), None),
            score_text(row.value(TEACHERS_INDEX), None),
        ]
        print(f"| {name} | {' | '.join(cells)} |")
    print(
        f"\n{datetime.date.today()}, {platform.machine()}. STS-B: Spearman x 100 on dev; probes: "
        f"mean accuracy; percentages are shares of {arguments.reference}'s."
    )


def read_row(name: str, folder: Path, file: ScoreFile) -> ModelScores:
    """The scores of a model's vectors; of several of one task the last that was written."""
    model = describe_model(name, folder, Role.BASELINE)
    found = {
        score.task: score
        for score in file.scores
        if score.sha256 == model.sha256 and score.seed is None
    }
    return summarize(model, found.values())


def weight_bytes(folder: Path) -> int:
    """Bytes of all weights in a folder."""
    files = (path for path in folder.rglob("*") if path.suffix in _WEIGHTS)
    return sum(path.stat().st_size for path in files)


def cost_text(value: int | None, whole: int | None) -> str:
    """A cost with its share of the reference's."""
    return "-" if value is None else f"{value:,} ({share(value, whole)})"


def score_text(value: float | None, whole: float | None) -> str:
    """A score x 100, with its share of the reference's if that is given."""
    if value is None:
        return "-"
    return f"{100 * value:.2f}" + (f" ({share(value, whole)})" if whole else "")


if __name__ == "__main__":
    main()
