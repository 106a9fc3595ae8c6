"""Tokenizers of every kind over made-up words, trained on the spot."""

import json
import random
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    BertTokenizerFast,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    RobertaTokenizerFast,
    XLMRobertaTokenizerFast,
)

from tests.factories import VOCABULARY, document

KINDS = ("wordpiece", "bpe", "unigram", "bare")
_SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def make_tokenizer(kind: str, longest: int = 128) -> PreTrainedTokenizerBase:
    """A tokenizer of one of `KINDS`.

    `wordpiece` pads with 0 and puts [CLS] and [SEP] around a text; `bpe` and `unigram` pad with 1
    and put <s> and </s> around it; `bare` is a BPE that puts nothing around it and pads with 3.
    """
    if kind == "wordpiece":
        vocabulary = {token: index for index, token in enumerate(VOCABULARY)}
        return BertTokenizerFast(vocab=vocabulary, model_max_length=longest)
    if kind == "unigram":
        return XLMRobertaTokenizerFast(vocab=_unigram(), model_max_length=longest)
    if kind == "bpe":
        model = json.loads(_bpe(_SPECIAL).to_str())["model"]
        merges = [tuple(pair) for pair in model["merges"]]
        return RobertaTokenizerFast(vocab=model["vocab"], merges=merges, model_max_length=longest)
    tokenizer = _bpe(["<a>", "<b>", "<unk>", "<pad>"])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", model_max_length=longest
    )


def save_tokenizer(kind: str, folder: Path, longest: int = 128) -> int:
    """Write such a tokenizer into a model's folder; returns how many tokens it has."""
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink(missing_ok=True)
    tokenizer = make_tokenizer(kind, longest)
    tokenizer.save_pretrained(folder)
    return len(tokenizer)


def _texts() -> list[str]:
    rng = random.Random(0)
    return [document(rng) for _ in range(200)]


def _bpe(special: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(_texts(), trainer)
    return tokenizer


def _unigram() -> list[tuple[str, float]]:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=150,
        special_tokens=_SPECIAL[:-1],
        unk_token="<unk>",
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(), trainer)
    pieces = json.loads(tokenizer.to_str())["model"]["vocab"]
    return [(piece, score) for piece, score in pieces] + [("<mask>", 0.0)]
