"""Classes of MPNet students whose heads are not hidden / heads wide (head policy `teacher`).

This file travels with them, because `transformers` has no such MPNet.
Load one with `AutoModel.from_pretrained(folder, trust_remote_code=True)`.
"""

from typing import Any

from torch import nn
from transformers import (
    MPNetConfig,
    MPNetForMaskedLM,
    MPNetForQuestionAnswering,
    MPNetForSequenceClassification,
    MPNetForTokenClassification,
    MPNetModel,
)
from transformers.models.mpnet.modeling_mpnet import MPNetEncoder, MPNetSelfAttention

from .any_heads import AnyHeads, HeadWidth


class StudentConfig(HeadWidth, MPNetConfig):
    """The config of a student."""

    model_type = "autodistil-mpnet"


class _AnyHeads(AnyHeads):
    attention, into = MPNetSelfAttention, ("q", "k", "v")
    output, back = MPNetSelfAttention, "o"

    def resize_rest(self, heads: int) -> None:
        """Resize the table of biases by distance, which all layers share."""
        model: Any = self
        for module in model.modules():
            if isinstance(module, MPNetEncoder):
                buckets = module.relative_attention_bias.num_embeddings
                module.n_heads = heads
                module.relative_attention_bias = nn.Embedding(buckets, heads)


class StudentModel(_AnyHeads, MPNetModel):
    """A student."""

    config_class = StudentConfig


class StudentForSequenceClassification(_AnyHeads, MPNetForSequenceClassification):
    """A student with a head that classifies texts."""

    config_class = StudentConfig


class StudentForTokenClassification(_AnyHeads, MPNetForTokenClassification):
    """A student with a head that classifies tokens."""

    config_class = StudentConfig


class StudentForQuestionAnswering(_AnyHeads, MPNetForQuestionAnswering):
    """A student with a head that finds answers in a text."""

    config_class = StudentConfig


class StudentForMaskedLM(_AnyHeads, MPNetForMaskedLM):
    """A student with a head that fills in masked tokens."""

    config_class = StudentConfig
