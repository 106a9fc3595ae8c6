"""Where the text of a corpus comes from, by the names that users give it."""

from dataclasses import replace
from pathlib import Path

from autodistil.text.dataset_sources import DatasetFiles, find_hub_dataset
from autodistil.text.documents import CorpusSource, WholeTexts
from autodistil.text.text_files import TextFiles


def open_source(name: str) -> CorpusSource:
    """The source that a name stands for.

    Args:
        name: `hub:NAME[@REVISION][:CONFIG[:SPLIT]]`, a data set of the Hugging Face hub;
            `dataset:PATH`, parquet or arrow files; or the path of text, see `TextFiles`. With
            `sentences:` before any of them every text, and every line of plain text, is a sentence
            as it is.

    Raises:
        InvalidInput: The data set of the hub cannot be found.
    """
    kind, _, rest = name.partition(":")
    if kind == "sentences":
        source = open_source(rest)
        return WholeTexts(
            replace(source, by_line=True) if isinstance(source, TextFiles) else source
        )
    if kind == "hub":
        return find_hub_dataset(rest)
    if kind == "dataset":
        return DatasetFiles(Path(rest))
    return TextFiles(Path(name))
