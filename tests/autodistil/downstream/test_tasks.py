import json
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodistil.downstream.metrics import METRICS, Values
from autodistil.downstream.task_data import Examples, read_examples, read_stsb
from autodistil.downstream.tasks import TASKS, Task
from autodistil.errors import InvalidInput

STSB_HEADER = (
    "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore"
)

# As in the GLUE download: the headings, then two rows, and what they mean.
GLUE_FILES = {
    "sst2": (
        "SST-2/dev.tsv",
        ["sentence\tlabel", "a fine film \t1", 'no "fun" at all \t0'],
        Examples(["a fine film ", 'no "fun" at all '], None, [1, 0]),
    ),
    "cola": (
        "CoLA/dev.tsv",
        ["gj04\t1\t\tThe sailors rode.", "gj04\t0\t*\tThe rode sailors."],
        Examples(["The sailors rode.", "The rode sailors."], None, [1, 0]),
    ),
    "mrpc": (
        "MRPC/dev.tsv",
        ["Quality\t#1 ID\t#2 ID\t#1 String\t#2 String", "1\t8\t9\ta\tb", '0\t7\t6\tc\t"d'],
        Examples(["a", "c"], ["b", '"d'], [1, 0]),
    ),
    "stsb": (
        "STS-B/dev.tsv",
        [STSB_HEADER, "0\tg\tf\t12\t1\tn\tn\ta b\tc\t5.000", "1\tg\tf\t12\t1\tn\tn\td\te\t0.25"],
        Examples(["a b", "d"], ["c", "e"], [5.0, 0.25]),
    ),
    "rte": (
        "RTE/dev.tsv",
        ["index\tsentence1\tsentence2\tlabel", "0\ta\tb\tentailment", "1\tc\td\tnot_entailment"],
        Examples(["a", "c"], ["b", "d"], [0, 1]),
    ),
    "qnli": (
        "QNLI/dev.tsv",
        ["index\tquestion\tsentence\tlabel", "0\ta?\tb\tnot_entailment", "1\tc?\td\tentailment"],
        Examples(["a?", "c?"], ["b", "d"], [1, 0]),
    ),
    "mnli": (
        "MNLI/dev_matched.tsv",
        ["index\tsentence1\tsentence2\tgold_label", "0\ta\tb\tneutral", "1\tc\td\tcontradiction"],
        Examples(["a", "c"], ["b", "d"], [1, 2]),
    ),
}


def write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="")
    return path


@pytest.mark.parametrize("name", GLUE_FILES)
def test_the_files_of_glue_are_read(name: str, tmp_path: Path) -> None:
    file, lines, expected = GLUE_FILES[name]
    path = write(tmp_path / file, *lines)
    assert read_examples(tmp_path, TASKS[name]) == expected
    assert read_examples(path.parent, TASKS[name]) == expected
    write(path, *(line + "\r" for line in lines))
    assert read_examples(tmp_path, TASKS[name]) == expected


@pytest.mark.parametrize("name", TASKS)
def test_rows_of_the_hubs_data_set_are_read_as_json_lines(name: str, tmp_path: Path) -> None:
    task = TASKS[name]
    texts = {field: f"some {field}" for field in task.fields}
    rows = [{**texts, "label": 2.5 if task.regression else 1, "idx": i} for i in range(3)]
    write(tmp_path / name / f"{task.hub_dev}.jsonl", *map(json.dumps, rows))
    examples = read_examples(tmp_path, task)
    assert examples.first == [f"some {task.fields[0]}"] * 3
    assert examples.second == ([f"some {task.fields[1]}"] * 3 if len(texts) == 2 else None)
    assert examples.labels == [2.5 if task.regression else 1] * 3


def test_json_lines_may_use_plain_names_and_named_labels(tmp_path: Path) -> None:
    rows = [{"sentence1": "a", "sentence2": "b", "label": "neutral"}] * 2
    write(tmp_path / "train.jsonl", *map(json.dumps, rows))
    assert read_examples(tmp_path, TASKS["mnli"], "train").labels == [1, 1]


plain = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\t\n\r"))


@given(st.lists(st.tuples(plain, plain, st.floats(0, 5)), min_size=2, max_size=5))
def test_any_text_without_tabs_and_newlines_survives(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, float]]
) -> None:
    folder = tmp_path_factory.mktemp("stsb")
    lines = [f"{a}\t{b}\t{score}" for a, b, score in rows]
    write(folder / "dev.tsv", "sentence1\tsentence2\tscore", *lines)
    found = read_stsb(folder)
    assert list(zip(found.first, found.second or [], found.labels, strict=True)) == rows


@given(
    st.binary(max_size=200),
    st.sampled_from(list(TASKS.values())),
    st.sampled_from(["tsv", "jsonl"]),
)
def test_any_bytes_are_read_or_refused_with_the_file_named(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, task: Task, kind: str
) -> None:
    path = tmp_path_factory.mktemp("bytes") / f"train.{kind}"
    path.write_bytes(content)
    try:
        assert len(read_examples(path.parent, task, "train")) >= 2
    except InvalidInput as error:
        assert str(path) in error.detail


def test_a_missing_file_is_refused_with_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"No STS-B here.*STS-B/test\.tsv"):
        read_stsb(tmp_path, "test")


BAD_FILES = [
    ("stsb", "dev.tsv", "", "line 1: no columns"),
    ("stsb", "dev.tsv", "sentence1\tscore\nx\t1\n", "line 1: no columns sentence2"),
    ("stsb", "dev.tsv", "sentence1\tsentence2\tscore\n", "two examples"),
    ("stsb", "dev.tsv", "sentence1\tsentence2\tscore\na\tb\t1\n", "two examples"),
    ("stsb", "dev.tsv", "sentence1\tsentence2\tscore\na\tb\t1\na\tb\thigh\n", "line 3: the score"),
    ("stsb", "dev.tsv", "sentence1\tsentence2\tscore\na\tb\tnan\n", "line 2: the score 'nan'"),
    ("stsb", "dev.tsv", "sentence1\tsentence2\tscore\na\tb\t1\n\nc\td\t1\n", "line 3: 1 columns"),
    ("cola", "dev.tsv", "a\t1\t\tb\na\t1\tb\n", "line 2: 3 columns instead of 4"),
    ("cola", "dev.tsv", "a\t2\t\tb\n", "line 1: the label '2' is none of 0, 1"),
    ("rte", "dev.tsv", "sentence1\tsentence2\tlabel\na\tb\tmaybe\n", "none of entailment, not"),
    ("sst2", "dev.jsonl", "", "line 1: not a JSON object"),
    ("sst2", "dev.jsonl", "[1]\n", "line 1: not a JSON object"),
    ("sst2", "dev.jsonl", "[" * 100_000, "line 1: not a JSON object"),
    ("sst2", "dev.jsonl", '{"sentence": "a"}\n', "line 1: lacks one of the fields sentence, label"),
    ("sst2", "dev.jsonl", '{"sentence": "a", "label": -1}\n', "line 1: the label -1"),
    ("sst2", "dev.jsonl", '{"sentence": "a", "label": true}\n', "line 1: the label True"),
    ("sst2", "dev.jsonl", '{"sentence": null, "label": 1}\n', "not a string"),
    ("stsb", "dev.jsonl", '{"sentence1": "a", "sentence2": "b", "label": NaN}\n', "the score nan"),
]


@pytest.mark.parametrize(("name", "file", "content", "reason"), BAD_FILES)
def test_a_bad_file_is_refused_with_its_line(
    name: str, file: str, content: str, reason: str, tmp_path: Path
) -> None:
    (tmp_path / file).write_text(content)
    with pytest.raises(InvalidInput, match=reason) as caught:
        read_examples(tmp_path, TASKS[name])
    assert str(tmp_path / file) in caught.value.detail


def test_other_encodings_are_refused_with_the_line(tmp_path: Path) -> None:
    (tmp_path / "dev.tsv").write_bytes("a\t1\t\tgood\na\t1\t\tna\u00efve\n".encode("latin-1"))
    with pytest.raises(InvalidInput, match="line 2: not UTF-8"):
        read_examples(tmp_path, TASKS["cola"])


def test_the_hub_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(InvalidInput, match=r"pip install 'autodistil\[hub\]'"):
        read_examples("hub:nyu-mll/glue", TASKS["rte"])


def values(*numbers: float) -> Values:
    return np.array(numbers, dtype=np.float64)


def test_metrics_are_those_of_the_textbook() -> None:
    predicted, labels = values(1, 1, 1, 0, 0, 1), values(1, 1, 0, 0, 1, 1)
    # 3 hits, 1 right rejection, 1 false alarm, 1 miss.
    assert METRICS["accuracy"](predicted, labels) == pytest.approx(4 / 6)
    assert METRICS["f1"](predicted, labels) == pytest.approx(6 / 8)
    assert METRICS["matthews"](predicted, labels) == pytest.approx((3 - 1) / 8)
    assert METRICS["pearson"](values(1, 2, 3), values(2, 4, 6)) == pytest.approx(1)
    assert METRICS["spearman"](values(1, 2, 9), values(9, 2, 1)) == pytest.approx(-1)


@pytest.mark.parametrize("name", ["f1", "matthews", "pearson", "spearman"])
def test_a_constant_prediction_scores_nothing(name: str) -> None:
    assert METRICS[name](values(0, 0, 0), values(0, 1, 0)) == 0  # type: ignore[index]
