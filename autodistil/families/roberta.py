"""RoBERTa and XLM-RoBERTa: BERT whose positions begin behind the padding token's number."""

from dataclasses import replace
from typing import Literal

from autodistil.families.bert import BertForm
from autodistil.families.parts import Embeddings


class RobertaEncoder(BertForm):
    """A RoBERTa, or an XLM-RoBERTa, which differs in nothing but its tokenizer."""

    family: Literal["roberta", "xlm-roberta"]

    @property
    def model_class(self) -> str:
        """Class of `transformers` that holds its stock students."""
        return "RobertaModel" if self.family == "roberta" else "XLMRobertaModel"

    @property
    def embeddings(self) -> Embeddings:
        """The parts before the first layer."""
        return replace(super().embeddings, first_position=self.pad_token_id + 1)
