"""Classes of BERT students whose heads are not hidden / heads wide (head policy `teacher`).

This file travels with them, because `transformers` has no such BERT.
Load one with `AutoModel.from_pretrained(folder, trust_remote_code=True)`.
"""

from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertModel,
)
from transformers.models.bert.modeling_bert import BertSelfAttention, BertSelfOutput

from .any_heads import AnyHeads, HeadWidth


class StudentConfig(HeadWidth, BertConfig):
    """The config of a student."""

    model_type = "autodistil-bert"


class _AnyHeads(AnyHeads):
    attention, into = BertSelfAttention, ("query", "key", "value")
    output, back = BertSelfOutput, "dense"


class StudentModel(_AnyHeads, BertModel):
    """A student."""

    config_class = StudentConfig


class StudentForSequenceClassification(_AnyHeads, BertForSequenceClassification):
    """A student with a head that classifies texts."""

    config_class = StudentConfig


class StudentForTokenClassification(_AnyHeads, BertForTokenClassification):
    """A student with a head that classifies tokens."""

    config_class = StudentConfig


class StudentForQuestionAnswering(_AnyHeads, BertForQuestionAnswering):
    """A student with a head that finds answers in a text."""

    config_class = StudentConfig


class StudentForMaskedLM(_AnyHeads, BertForMaskedLM):
    """A student with a head that fills in masked tokens."""

    config_class = StudentConfig
