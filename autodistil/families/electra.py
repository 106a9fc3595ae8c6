"""ELECTRA: BERT without a pooler, whose embeddings may be narrower and then are mapped."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from autodistil.errors import InvalidInput
from autodistil.families.architecture import Architecture, Size
from autodistil.families.bert import BertForm
from autodistil.families.parts import Embeddings, Linear, Norm, Role


class ElectraEncoder(BertForm):
    """An ELECTRA discriminator or generator.

    Attributes:
        embedding_size: Width of the embeddings, which students then share; None: the hidden width.
    """

    family: Literal["electra"] = "electra"
    embedding_size: Size | None = None

    @property
    def model_class(self) -> str:
        """Class of `transformers` that holds its stock students."""
        return "ElectraModel"

    @classmethod
    def _fields(cls, config: Mapping[str, Any]) -> dict[str, Any]:
        own = config["embedding_size"] != config["hidden_size"]
        return {
            **super()._fields(config),
            "embedding_size": config["embedding_size"] if own else None,
        }

    @property
    def embeddings(self) -> Embeddings:
        """The parts before the first layer."""
        plain, width = super().embeddings, self.embedding_size
        if width is None or plain.positions is None or plain.types is None:
            return plain
        return Embeddings(
            words=replace(plain.words, width=width),
            positions=replace(plain.positions, width=width),
            types=replace(plain.types, width=width),
            norm=Norm(plain.norm.name, over=width),
            projection=Linear("embeddings_project", Role.HIDDEN, width),
        )

    @property
    def pooler(self) -> None:
        """It has none."""
        return None

    def check_width(self, hidden: int) -> None:
        """Refuse the embeddings' width, see `EncoderConfig.check_width`."""
        if hidden == self.embedding_size:
            raise InvalidInput(
                f"Students of this ELECTRA cannot be {hidden} wide, as its embeddings are: "
                "transformers would look for no map between the two. Leave this width out."
            )

    def student_config(self, architecture: Architecture) -> dict[str, Any]:
        """What the `config.json` of a student says."""
        width = self.embedding_size or architecture.hidden
        return {**super().student_config(architecture), "embedding_size": width}
