"""Classes of XLM-RoBERTa students whose heads are not hidden / heads wide (head policy `teacher`).

This file travels with them, because `transformers` has no such XLM-RoBERTa.
Load one with `AutoModel.from_pretrained(folder, trust_remote_code=True)`.
"""

from transformers import (
    XLMRobertaConfig,
    XLMRobertaForMaskedLM,
    XLMRobertaForQuestionAnswering,
    XLMRobertaForSequenceClassification,
    XLMRobertaForTokenClassification,
    XLMRobertaModel,
)
from transformers.models.xlm_roberta.modeling_xlm_roberta import (
    XLMRobertaSelfAttention,
    XLMRobertaSelfOutput,
)

from .any_heads import AnyHeads, HeadWidth


class StudentConfig(HeadWidth, XLMRobertaConfig):
    """The config of a student."""

    model_type = "autodistil-xlm-roberta"


class _AnyHeads(AnyHeads):
    attention, into = XLMRobertaSelfAttention, ("query", "key", "value")
    output, back = XLMRobertaSelfOutput, "dense"


class StudentModel(_AnyHeads, XLMRobertaModel):
    """A student."""

    config_class = StudentConfig


class StudentForSequenceClassification(_AnyHeads, XLMRobertaForSequenceClassification):
    """A student with a head that classifies texts."""

    config_class = StudentConfig


class StudentForTokenClassification(_AnyHeads, XLMRobertaForTokenClassification):
    """A student with a head that classifies tokens."""

    config_class = StudentConfig


class StudentForQuestionAnswering(_AnyHeads, XLMRobertaForQuestionAnswering):
    """A student with a head that finds answers in a text."""

    config_class = StudentConfig


class StudentForMaskedLM(_AnyHeads, XLMRobertaForMaskedLM):
    """A student with a head that fills in masked tokens."""

    config_class = StudentConfig
