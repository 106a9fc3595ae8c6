"""An encoder with a head on its sentence vectors."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autodistil.models.model_folder import LoadedModel
from autodistil.models.sentence_vectors import pool

Inputs = Mapping[str, Tensor]
"""What a tokenizer gives, [batch, tokens] each."""

_LARGEST_SIMILARITY = 5.0
"""Of STS-B's labels, to which a cosine of 1 is mapped at first."""


class Classifier(nn.Module):
    """An encoder with dropout and a linear head on its sentence vectors.

    The two sentences of a pair that is encoded apart, as u and v, meet in the head as in
    Sentence-BERT (Reimers and Gurevych, 2019): classes are read off (u, v, |u - v|), a number off
    the cosine.

    Args:
        loaded: The encoder. Sentence embedders pool as their files say; others use the first
            token, through the pooler where there is one.
        outputs: Classes, or 1 for regression.
        dropout: Probability of every dropout.
        apart: Whether it is given pairs, each sentence by itself.
    """

    def __init__(
        self, loaded: LoadedModel, outputs: int, dropout: float, apart: bool = False
    ) -> None:
        super().__init__()
        self._model: Any = loaded.model
        self._pooling = loaded.sentence.pooling if loaded.sentence.listed else None
        self._dropout = nn.Dropout(dropout)
        self._by_cosine = apart and outputs == 1
        hidden = loaded.model.config.hidden_size
        width = 1 if self._by_cosine else hidden * (3 if apart else 1)
        self._head = nn.Linear(width, outputs)
        nn.init.normal_(self._head.weight, std=0.02)
        nn.init.zeros_(self._head.bias)
        if self._by_cosine:
            nn.init.constant_(self._head.weight, _LARGEST_SIMILARITY)
        for module in self.modules():
            if isinstance(module, nn.Dropout):
                module.p = dropout

    def forward(self, precision: str, *inputs: Inputs) -> Tensor:
        """Logits or values in fp32, [batch, outputs].

        Args:
            precision: `fp32` or `bf16`.
            *inputs: One, or two of pairs that are encoded apart.
        """
        vectors = [self._sentence_vector(precision, given) for given in inputs]
        if self._by_cosine:
            read = F.cosine_similarity(vectors[0], vectors[1])[:, None]
        else:
            if len(vectors) > 1:
                vectors.append((vectors[0] - vectors[1]).abs())
            read = self._dropout(torch.cat(vectors, dim=1))
        logits: Tensor = self._head(read)
        return logits

    def _sentence_vector(self, precision: str, inputs: Inputs) -> Tensor:
        """[batch, hidden], fp32."""
        device = inputs["input_ids"].device.type
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
            output = self._model(**inputs)
        if self._pooling is not None:
            return pool(output.last_hidden_state, inputs["attention_mask"], self._pooling)
        if (pooled := output.get("pooler_output")) is None:
            pooled = output.last_hidden_state[:, 0]
        vector: Tensor = pooled.float()
        return vector
