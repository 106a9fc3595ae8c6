"""The tokenizers of a SuperLM's students: the SuperLM's own, or the beginning of it."""

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from autodistil.errors import InvalidBundle
from autodistil.superlm.bundle import SuperLM
from autodistil.superlm.tokenizer_config import write_for_all
from autodistil.text.lower_case import lower_first
from autodistil.text.vocabulary import trim_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def write_tokenizer(superlm: SuperLM, vocab: int | None, folder: Path) -> None:
    """Write the tokenizer of a student into a folder.

    Args:
        superlm: The SuperLM.
        vocab: The student's vocabulary; None: all of the SuperLM's.
        folder: An existing folder.

    Raises:
        InvalidBundle: The SuperLM's tokenizer cannot be read any more.
    """
    try:
        for path in superlm.tokenizer_path.iterdir():
            shutil.copyfile(path, folder / path.name)
        if vocab is not None and vocab < superlm.spec.encoder.vocab_size:
            trim_tokenizer(folder, range(vocab))
        encoder = superlm.spec.encoder
        write_for_all(folder, encoder.positions, encoder.token_types > 1)
    except (OSError, ValueError) as error:
        raise InvalidBundle(f"The tokenizer of {superlm.spec.reference}: {error}.") from error


def load_tokenizer(superlm: SuperLM, vocab: int | None) -> "PreTrainedTokenizerBase":
    """The tokenizer of a student, as `transformers` loads it.

    Args:
        superlm: The SuperLM.
        vocab: The student's vocabulary; None: all of the SuperLM's.

    Raises:
        InvalidBundle: The SuperLM's tokenizer cannot be read.
    """
    from transformers import AutoTokenizer

    with tempfile.TemporaryDirectory() as folder:
        write_tokenizer(superlm, vocab, Path(folder))
        try:
            tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
        except Exception as error:  # transformers meets a bad file with errors of a dozen kinds
            raise InvalidBundle(
                f"The tokenizer of {superlm.spec.reference} does not load: {error}"
            ) from error
    embedding = superlm.spec.teacher.embedding
    if embedding is not None and embedding.do_lower_case:
        lower_first(tokenizer)
    return tokenizer
