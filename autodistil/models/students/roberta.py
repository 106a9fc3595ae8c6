"""Classes of RoBERTa students whose heads are not hidden / heads wide (head policy `teacher`).

This file travels with them, because `transformers` has no such RoBERTa.
Load one with `AutoModel.from_pretrained(folder, trust_remote_code=True)`.
"""

from transformers import (
    RobertaConfig,
    RobertaForMaskedLM,
    RobertaForQuestionAnswering,
    RobertaForSequenceClassification,
    RobertaForTokenClassification,
    RobertaModel,
)
from transformers.models.roberta.modeling_roberta import RobertaSelfAttention, RobertaSelfOutput

from .any_heads import AnyHeads, HeadWidth


class StudentConfig(HeadWidth, RobertaConfig):
    """The config of a student."""

    model_type = "autodistil-roberta"


class _AnyHeads(AnyHeads):
    attention, into = RobertaSelfAttention, ("query", "key", "value")
    output, back = RobertaSelfOutput, "dense"


class StudentModel(_AnyHeads, RobertaModel):
    """A student."""

    config_class = StudentConfig


class StudentForSequenceClassification(_AnyHeads, RobertaForSequenceClassification):
    """A student with a head that classifies texts."""

    config_class = StudentConfig


class StudentForTokenClassification(_AnyHeads, RobertaForTokenClassification):
    """A student with a head that classifies tokens."""

    config_class = StudentConfig


class StudentForQuestionAnswering(_AnyHeads, RobertaForQuestionAnswering):
    """A student with a head that finds answers in a text."""

    config_class = StudentConfig


class StudentForMaskedLM(_AnyHeads, RobertaForMaskedLM):
    """A student with a head that fills in masked tokens."""

    config_class = StudentConfig
