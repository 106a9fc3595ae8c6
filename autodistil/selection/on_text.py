"""Search on a domain's own text: the students near the front scored anew, on what the user brings.

The table of a SuperLM was scored on general text. The students that are best by the table within a
budget are scored on the domain's sentences, and the best of them may be another one.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from autodistil.errors import InvalidInput
from autodistil.evaluation.quality import Score
from autodistil.extraction.receipt import DomainReceipt
from autodistil.search.budget import Budget
from autodistil.search.choice import rank_feasible, search
from autodistil.search.entry import Entry
from autodistil.search.latency_limit import Profiles
from autodistil.superlm.bundle import SuperLM
from autodistil.superlm.teacher_check import check_teacher

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from autodistil.models.teacher import Teacher
    from autodistil.text.corpus import Batch

STUDENTS = 12
"""So many students are scored anew, the best within the budget by the table."""
MIN_SENTENCES = 16
"""Of fewer sentences, no similarities can be compared."""
MAX_CHARACTERS = 200_000
"""Longer texts take long, and say no more about which student is best."""
_MAX_TOKENS = 128
_ROWS = 64


class DomainSearch(NamedTuple):
    """What was found on a domain's text.

    Attributes:
        entries: The students that were scored anew, with their new signals.
        receipt: What was done, and whether it changed the choice.
    """

    entries: list[Entry]
    receipt: DomainReceipt


def read_sentences(texts: Iterable[str], most: int = MAX_CHARACTERS) -> list[str]:
    """Sentences of a domain as they come, blank ones left out.

    Args:
        texts: The sentences.
        most: Characters that all of them may have.

    Raises:
        InvalidInput: There are too few, or they are too long together.
    """
    found, characters = [], 0
    for text in texts:
        characters += len(text)
        if characters > most:
            raise InvalidInput(
                f"The domain's text has more than {most:,} characters; give a part of it that "
                "stands for the rest."
            )
        if text.strip():
            found.append(text.strip())
    if len(found) < MIN_SENTENCES:
        raise InvalidInput(
            f"The domain's text has {len(found)} sentences; {MIN_SENTENCES} at least are needed "
            "to compare students on it, and some hundred are better."
        )
    return found


def hash_sentences(sentences: Sequence[str]) -> str:
    """sha256 of a text: of requests that differ in nothing else, each has its own answer."""
    return hashlib.sha256(json.dumps(list(sentences)).encode()).hexdigest()


def search_domain(
    superlms: Mapping[str, SuperLM],
    entries: Sequence[Entry],
    budget: Budget,
    teacher: "Teacher",
    sentences: Sequence[str],
    profiles: Profiles | None = None,
    score: Score = Score.QUALITY,
    on_student: Callable[[int, int], None] = lambda done, total: None,
) -> DomainSearch:
    """Score the best students within a budget anew on a domain's text.

    Args:
        superlms: By `name@version`.
        entries: Their candidates.
        budget: The limits.
        teacher: The teacher of all of them.
        sentences: From `read_sentences`, in the order of the text.
        profiles: The profiled devices.
        score: By which the students are chosen and compared.
        on_student: Called with how many students were scored on a batch, and will be in all; may
            raise to stop.

    Raises:
        InfeasibleBudget: No student fits.
        TeacherMismatch: A SuperLM was distilled from another teacher.
        InvalidInput: The text gives no tokens.
    """
    from autodistil.evaluation.candidate_table import measured_teacher, objective_of
    from autodistil.evaluation.held_out_text import HeldOutText
    from autodistil.evaluation.students import evaluate_students
    from autodistil.superlm.slicing import load_elastic
    from autodistil.superlm.tokenizers import load_tokenizer

    ranked = rank_feasible(entries, budget, profiles, score)
    near = defaultdict(list)
    for entry in ranked[:STUDENTS]:
        near[entry.superlm].append(entry)
    for name in near:
        check_teacher(superlms[name], teacher)
    own = text_batches(sentences, teacher.tokenizer, min(_MAX_TOKENS, teacher.longest))
    total, done = sum(map(len, near.values())) * len(own), 0

    def count() -> None:
        nonlocal done
        done += 1
        on_student(done, total)

    found: list[Entry] = []
    measured = measured_teacher(teacher)
    for name, students in near.items():
        architectures = [entry.candidate.architecture for entry in students]
        # In a small vocabulary the same text has more tokens.
        longest = min(2 * _MAX_TOKENS, teacher.longest)
        by_vocab = {
            vocab: text_batches(sentences, load_tokenizer(superlms[name], vocab), longest)
            for vocab in sorted({a.vocab for a in architectures}, key=lambda v: v or 0)
        }
        signals = evaluate_students(
            load_elastic(superlms[name]),
            architectures,
            measured,
            HeldOutText(own, by_vocab),
            objective_of(superlms[name].spec),
            count,
        )
        found += [
            entry._replace(
                candidate=entry.candidate.model_copy(
                    update=dict(signals[entry.candidate.architecture])
                )
            )
            for entry in students
        ]
    best = search(found, budget, profiles, score).best
    before = ranked[0]
    return DomainSearch(
        found,
        DomainReceipt(
            text_sha256=hash_sentences(sentences),
            sentences=len(sentences),
            tokens=sum(batch.tokens for batch in own),
            scored=len(found),
            without_text=f"{before.candidate.architecture.name} of {before.superlm}",
            changed=(best.superlm, best.candidate.architecture)
            != (before.superlm, before.candidate.architecture),
        ),
    )


def text_batches(
    sentences: Sequence[str], tokenizer: "PreTrainedTokenizerBase", longest: int = _MAX_TOKENS
) -> "list[Batch]":
    """Batches of at most some 64 rows, a row for each sentence, in the order of the text.

    Args:
        sentences: From `read_sentences`.
        tokenizer: The teacher's.
        longest: Tokens that a row may have, special ones included; longer sentences are cut.

    Raises:
        InvalidInput: There are too few rows with a token in them.
    """
    import torch

    from autodistil.text.corpus import Batch
    from autodistil.text.special_tokens import special_tokens

    special = special_tokens(tokenizer)
    encoded = tokenizer(list(sentences), truncation=True, max_length=longest)["input_ids"]
    rows = [torch.tensor(ids) for ids in encoded if len(ids) > special.around]
    if len(rows) < MIN_SENTENCES:
        raise InvalidInput(
            f"Only {len(rows)} sentences of the domain's text have a token that the teacher knows."
        )
    # Of about equal size, and of whole runs of neighbours but for the last.
    runs = [rows[i : i + 8] for i in range(0, len(rows), 8)]
    batches = []
    for part in np.array_split(np.arange(len(runs)), -(-len(rows) // _ROWS)):
        chosen = [row for run in part for row in runs[run]]
        padded = torch.nn.utils.rnn.pad_sequence(
            chosen, batch_first=True, padding_value=special.pad
        )
        lengths = torch.tensor([len(row) for row in chosen])
        mask = (torch.arange(padded.shape[1]) < lengths[:, None]).long()
        batches.append(Batch(padded, mask))
    return batches
