"""A rival: the model distillation of the sentence-transformers library, at given tokens.

    python benchmarks/library_recipe.py --teacher FOLDER --sentences FILE-OR-FOLDER ... \
      --layers 0,2,5 --tokens 500000 --out FOLDER

The recipe is that of the library's example model_distillation_layer_reduction.py: the teacher with
some of its layers, the mean squared error to the teacher's sentence vectors, AdamW at a rate of
1e-4 that rises over the first tenth of the steps and falls linearly to 0, no weight decay, batches
of 64 sentences, gradients cut at norm 1, the teacher's dropout, one epoch. Written in plain torch,
so that it stops after the tokens that a student of ours was given. Training leaves out the
sentences that students are measured on. The folder has the teacher's form; beside it, a
.run.json says what was run.
"""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim.lr_scheduler import LambdaLR

from autodistil.downstream.embedder import Vectors, open_embedder
from autodistil.models.model_folder import LoadedModel, load_folder
from autodistil.models.sentence_steps import load_steps, sentence_vectors
from autodistil.quiet import quiet_transformers
from autodistil.text.held_out import training_sentences
from kept_layers import copy_sentence_files, keep_layers

_BATCH = 64
_RATE = 1e-4
_WARMUP = 0.1
_CLIP = 1.0
_REPORT = 20


def main() -> None:
    """Train and write the student."""
    quiet_transformers()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--sentences", type=Path, nargs="+", required=True)
    parser.add_argument("--layers", default="0,2,5", help="kept layers, separated by commas")
    parser.add_argument("--tokens", type=int, default=500_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    torch.set_num_threads(arguments.threads)
    student = load_folder(arguments.teacher)
    keep_layers(student.model, [int(layer) for layer in arguments.layers.split(",")])
    length = student.sentence.max_length or 128
    sentences = training_sentences(arguments.sentences)
    drawn = draw_batches(sentences, student, length, arguments.tokens, arguments.seed)
    batches = list(drawn)
    texts = [text for batch in batches for text in batch]
    print(f"{len(texts):,} sentences, {len(batches):,} batches; their vectors first", flush=True)
    targets = open_embedder(arguments.teacher).encode(texts)
    started = time.monotonic()
    tokens = train(student, batches, targets, length)
    student.model.save_pretrained(arguments.out)
    student.tokenizer.save_pretrained(arguments.out)
    copy_sentence_files(arguments.teacher, arguments.out)
    run = {
        "recipe": "sentence-transformers, model_distillation_layer_reduction.py",
        "layers": arguments.layers,
        "tokens": tokens,
        "seed": arguments.seed,
        "seconds": round(time.monotonic() - started),
    }
    arguments.out.with_name(f"{arguments.out.name}.run.json").write_text(json.dumps(run) + "\n")
    print(json.dumps(run))


def draw_batches(
    sentences: list[str], student: LoadedModel, length: int, tokens: int, seed: int
) -> Iterator[list[str]]:
    """Batches of sentences in random order until they hold `tokens` tokens, or all sentences."""
    order = np.random.default_rng(seed).permutation(len(sentences))
    tokenizer: Any = student.tokenizer
    for start in range(0, len(order), _BATCH):
        batch = [sentences[i] for i in order[start : start + _BATCH]]
        yield batch
        found = tokenizer(batch, truncation=True, max_length=length)["input_ids"]
        tokens -= sum(map(len, found))
        if tokens <= 0:
            return


def train(
    student: LoadedModel,
    batches: list[list[str]],
    targets: Vectors,
    length: int,
) -> int:
    """Train the student in place; returns the tokens it has seen.

    Args:
        student: The student.
        batches: Sentences, batch by batch.
        targets: The teacher's vectors of all of them in that order, [sentences, width].
        length: Tokens of a sentence; the rest is cut off.
    """
    model: Any = student.model
    tokenizer: Any = student.tokenizer
    model.train()
    steps = load_steps(student.sentence)
    optimizer = torch.optim.AdamW(model.parameters(), lr=_RATE, weight_decay=0.0)
    warmup = int(_WARMUP * len(batches))
    schedule = LambdaLR(optimizer, lambda step: _rate_share(step, warmup, len(batches)))
    seen = done = 0
    for step, texts in enumerate(batches, 1):
        rows = tokenizer(
            texts, padding=True, truncation=True, max_length=length, return_tensors="pt"
        )
        hidden: Tensor = model(**rows).last_hidden_state
        vectors = sentence_vectors(student.sentence, steps, hidden, rows["attention_mask"])
        loss = F.mse_loss(vectors, torch.from_numpy(targets[done : done + len(texts)]))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), _CLIP)
        optimizer.step()
        schedule.step()
        done += len(texts)
        seen += int(rows["attention_mask"].sum())
        if step % _REPORT == 0 or step == len(batches):
            print(f"step {step:,} of {len(batches):,}, loss {loss.item():.6f}", flush=True)
    return seen


def _rate_share(step: int, warmup: int, steps: int) -> float:
    """The rate of a step as a share of the highest."""
    if step < warmup:
        return step / warmup
    return (steps - step) / max(1, steps - warmup)


if __name__ == "__main__":
    main()
