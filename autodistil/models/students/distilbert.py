"""Classes of DistilBERT students whose heads are not hidden / heads wide (head policy `teacher`).

This file travels with them, because `transformers` has no such DistilBERT.
Load one with `AutoModel.from_pretrained(folder, trust_remote_code=True)`.
"""

from transformers import (
    DistilBertConfig,
    DistilBertForMaskedLM,
    DistilBertForQuestionAnswering,
    DistilBertForSequenceClassification,
    DistilBertForTokenClassification,
    DistilBertModel,
)
from transformers.models.distilbert.modeling_distilbert import DistilBertSelfAttention

from .any_heads import AnyHeads, HeadWidth


class StudentConfig(HeadWidth, DistilBertConfig):
    """The config of a student."""

    model_type = "autodistil-distilbert"


class _AnyHeads(AnyHeads):
    attention, into = DistilBertSelfAttention, ("q_lin", "k_lin", "v_lin")
    output, back = DistilBertSelfAttention, "out_lin"


class StudentModel(_AnyHeads, DistilBertModel):
    """A student."""

    config_class = StudentConfig


class StudentForSequenceClassification(_AnyHeads, DistilBertForSequenceClassification):
    """A student with a head that classifies texts."""

    config_class = StudentConfig


class StudentForTokenClassification(_AnyHeads, DistilBertForTokenClassification):
    """A student with a head that classifies tokens."""

    config_class = StudentConfig


class StudentForQuestionAnswering(_AnyHeads, DistilBertForQuestionAnswering):
    """A student with a head that finds answers in a text."""

    config_class = StudentConfig


class StudentForMaskedLM(_AnyHeads, DistilBertForMaskedLM):
    """A student with a head that fills in masked tokens."""

    config_class = StudentConfig
