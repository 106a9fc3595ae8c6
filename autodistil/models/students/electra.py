"""Classes of ELECTRA students whose heads are not hidden / heads wide (head policy `teacher`).

This file travels with them, because `transformers` has no such ELECTRA.
Load one with `AutoModel.from_pretrained(folder, trust_remote_code=True)`.
"""

from transformers import (
    ElectraConfig,
    ElectraForMaskedLM,
    ElectraForQuestionAnswering,
    ElectraForSequenceClassification,
    ElectraForTokenClassification,
    ElectraModel,
)
from transformers.models.electra.modeling_electra import ElectraSelfAttention, ElectraSelfOutput

from .any_heads import AnyHeads, HeadWidth


class StudentConfig(HeadWidth, ElectraConfig):
    """The config of a student."""

    model_type = "autodistil-electra"


class _AnyHeads(AnyHeads):
    attention, into = ElectraSelfAttention, ("query", "key", "value")
    output, back = ElectraSelfOutput, "dense"


class StudentModel(_AnyHeads, ElectraModel):
    """A student."""

    config_class = StudentConfig


class StudentForSequenceClassification(_AnyHeads, ElectraForSequenceClassification):
    """A student with a head that classifies texts."""

    config_class = StudentConfig


class StudentForTokenClassification(_AnyHeads, ElectraForTokenClassification):
    """A student with a head that classifies tokens."""

    config_class = StudentConfig


class StudentForQuestionAnswering(_AnyHeads, ElectraForQuestionAnswering):
    """A student with a head that finds answers in a text."""

    config_class = StudentConfig


class StudentForMaskedLM(_AnyHeads, ElectraForMaskedLM):
    """A student with a head that fills in masked tokens."""

    config_class = StudentConfig
