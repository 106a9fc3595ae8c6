"""The tasks of GLUE that models are scored on: their columns, labels, folders, and metrics."""

from dataclasses import dataclass
from typing import Literal

MetricName = Literal["accuracy", "f1", "matthews", "pearson", "spearman"]


@dataclass(frozen=True)
class Task:
    """One task: what its files look like, and what is measured.

    Attributes:
        name: Its name here and as a configuration of the hub's `nyu-mll/glue`.
        folder: Its folder in the GLUE download.
        texts: Columns of the one or two sentences in the TSV files.
        label: Column of the label in the TSV files.
        fields: Names of the sentences in the hub's data set.
        labels: Names of the classes by their index; empty: the label is a number (regression).
        metrics: What is measured. The first one decides the best epoch and is the score.
        header: Columns of TSV files without a line of headings.
        dev: Name of the development split in the GLUE download.
        hub_dev: Name of the same split on the hub.
    """

    name: str
    folder: str
    texts: tuple[str, ...]
    label: str
    fields: tuple[str, ...]
    labels: tuple[str, ...]
    metrics: tuple[MetricName, ...] = ("accuracy",)
    header: tuple[str, ...] | None = None
    dev: str = "dev"
    hub_dev: str = "validation"

    @property
    def regression(self) -> bool:
        """Whether the label is a number."""
        return not self.labels


_BINARY = ("0", "1")
_ENTAILMENT = ("entailment", "not_entailment")
_PAIR = ("sentence1", "sentence2")
_QUESTION = ("question", "sentence")

TASKS = {
    task.name: task
    for task in (
        Task("sst2", "SST-2", ("sentence",), "label", ("sentence",), _BINARY),
        Task(
            "cola",
            "CoLA",
            ("sentence",),
            "label",
            ("sentence",),
            _BINARY,
            metrics=("matthews", "accuracy"),
            header=("source", "label", "star", "sentence"),
        ),
        # The AutoDistil paper prints one number for MRPC without saying which; accuracy it is here.
        Task(
            "mrpc",
            "MRPC",
            ("#1 String", "#2 String"),
            "Quality",
            _PAIR,
            _BINARY,
            metrics=("accuracy", "f1"),
        ),
        Task("stsb", "STS-B", _PAIR, "score", _PAIR, (), metrics=("spearman", "pearson")),
        Task("rte", "RTE", _PAIR, "label", _PAIR, _ENTAILMENT),
        Task("qnli", "QNLI", _QUESTION, "label", _QUESTION, _ENTAILMENT),
        Task(
            "qqp",
            "QQP",
            ("question1", "question2"),
            "is_duplicate",
            ("question1", "question2"),
            _BINARY,
            metrics=("accuracy", "f1"),
        ),
        Task(
            "mnli",
            "MNLI",
            _PAIR,
            "gold_label",
            ("premise", "hypothesis"),
            ("entailment", "neutral", "contradiction"),
            dev="dev_matched",
            hub_dev="validation_matched",
        ),
        Task("wnli", "WNLI", _PAIR, "label", _PAIR, _BINARY),
    )
}
"""The tasks by name."""
