"""Classes of ModernBERT students whose heads are not hidden / heads wide (head policy `teacher`).

This file travels with them, because `transformers` has no such ModernBERT.
Load one with `AutoModel.from_pretrained(folder, trust_remote_code=True)`.
"""

from transformers import (
    ModernBertConfig,
    ModernBertForMaskedLM,
    ModernBertForQuestionAnswering,
    ModernBertForSequenceClassification,
    ModernBertForTokenClassification,
    ModernBertModel,
)
from transformers.models.modernbert.modeling_modernbert import ModernBertAttention

from .any_heads import AnyHeads, HeadWidth


class StudentConfig(HeadWidth, ModernBertConfig):
    """The config of a student."""

    model_type = "autodistil-modernbert"

    @property
    def head_dim(self) -> int:
        """Width of a head, by which positions are turned."""
        return self.head_width


class _AnyHeads(AnyHeads):
    attention, into = ModernBertAttention, ("Wqkv",)
    output, back = ModernBertAttention, "Wo"


class StudentModel(_AnyHeads, ModernBertModel):
    """A student."""

    config_class = StudentConfig


class StudentForSequenceClassification(_AnyHeads, ModernBertForSequenceClassification):
    """A student with a head that classifies texts."""

    config_class = StudentConfig


class StudentForTokenClassification(_AnyHeads, ModernBertForTokenClassification):
    """A student with a head that classifies tokens."""

    config_class = StudentConfig


class StudentForQuestionAnswering(_AnyHeads, ModernBertForQuestionAnswering):
    """A student with a head that finds answers in a text."""

    config_class = StudentConfig


class StudentForMaskedLM(_AnyHeads, ModernBertForMaskedLM):
    """A student with a head that fills in masked tokens."""

    config_class = StudentConfig
