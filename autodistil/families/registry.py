"""Every family that a SuperLM can be cut from. A new one is a file beside this one, and a line."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from autodistil.errors import UnsupportedTeacher
from autodistil.families.architecture import Architecture
from autodistil.families.bert import BertEncoder
from autodistil.families.distilbert import DistilBertEncoder
from autodistil.families.electra import ElectraEncoder
from autodistil.families.encoder import EncoderConfig
from autodistil.families.modernbert import ModernBertEncoder
from autodistil.families.mpnet import MPNetEncoder
from autodistil.families.roberta import RobertaEncoder

FAMILIES: dict[str, type[EncoderConfig]] = {
    "bert": BertEncoder,
    "roberta": RobertaEncoder,
    "xlm-roberta": RobertaEncoder,
    "distilbert": DistilBertEncoder,
    "electra": ElectraEncoder,
    "mpnet": MPNetEncoder,
    "modernbert": ModernBertEncoder,
}
"""By `model_type` in `transformers`."""

_SUPPORTED = (
    f"supported are encoders of the types {', '.join(FAMILIES)} with hidden = heads x head width"
)

AnyEncoder = Annotated[
    BertEncoder
    | RobertaEncoder
    | DistilBertEncoder
    | ElectraEncoder
    | MPNetEncoder
    | ModernBertEncoder,
    Field(discriminator="family"),
]
"""An encoder's config where it is read; its family says which."""


def read_encoder(config: Mapping[str, Any]) -> tuple[Architecture, EncoderConfig]:
    """Sizes of a model, and what its students share with it, from its `config.json`.

    Raises:
        UnsupportedTeacher: It is no encoder that a SuperLM can be cut from.
    """
    kind = config.get("model_type")
    family = FAMILIES.get(kind) if isinstance(kind, str) else None
    if family is None:
        raise UnsupportedTeacher(
            f"Models of type {str(kind)[:100]!r} cannot be teachers: {_SUPPORTED}."
        )
    try:
        return family.read(config)
    except (KeyError, ValueError, TypeError, ArithmeticError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else error
        raise UnsupportedTeacher(
            f"The model's config.json is unusable ({reason}): {_SUPPORTED}."
        ) from error


def longest_text(config: Mapping[str, Any]) -> int | None:
    """Tokens of a text that a model can read, from its `config.json`; None if it does not say."""
    try:
        return read_encoder(config)[1].positions
    except UnsupportedTeacher:
        positions = config.get("max_position_embeddings")
        return positions if isinstance(positions, int) else None


def parse_encoder(content: Mapping[str, Any]) -> EncoderConfig:
    """An encoder's config from what `model_dump` made of it.

    Raises:
        ValidationError: It is none.
    """
    return _ADAPTER.validate_python(content)


_ADAPTER: TypeAdapter[EncoderConfig] = TypeAdapter(AnyEncoder)
