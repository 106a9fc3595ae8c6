"""What makes an encoder a sentence embedder: how it pools, and what its users rely on."""

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from autodistil.families.architecture import Size

_Text = Annotated[str, Field(max_length=10_000)]


class Pooling(StrEnum):
    """How token vectors become a sentence's vector, by the names of sentence-transformers.

    `mean`: their average. `cls`: the vector of the first token. `max`: the largest value of every
    channel. `mean_sqrt_len_tokens`: their sum over the square root of their number. `lasttoken`:
    the vector of the last token.
    """

    MEAN = "mean"
    CLS = "cls"
    MAX = "max"
    MEAN_SQRT_LEN = "mean_sqrt_len_tokens"
    LAST = "lasttoken"


class Vectors(StrEnum):
    """Where a sentence embedder's student puts its vectors.

    `teacher`: in the teacher's space, so that it searches an index that the teacher built.
    `own`: in a space of its own, as wide as the student.
    """

    TEACHER = "teacher"
    OWN = "own"


class SentenceEmbedding(BaseModel):
    """A sentence embedder's settings, which its students keep.

    Attributes:
        width: Of its sentence vectors.
        pooling: How it pools.
        projected: Whether a Dense module of its own makes its vectors of what is pooled. Then every
            student needs a map to them, also one that is as wide.
        normalize: Whether its vectors are brought to length 1.
        max_seq_length: Tokens that a text may have; longer ones are cut.
        do_lower_case: Whether sentence-transformers lowers the text before it is tokenised; the
            tokenizer may do so on its own.
        prompts: Prompts by name, which users put before their texts.
        default_prompt_name: The prompt that is used if none is named.
        similarity: The function that its users compare vectors by.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: Size
    pooling: Pooling
    normalize: bool
    max_seq_length: Size
    do_lower_case: bool = False
    projected: bool = False
    prompts: dict[_Text, _Text] = Field(default_factory=dict)
    default_prompt_name: _Text | None = None
    similarity: Annotated[str, Field(pattern=r"^[a-z_]{1,30}$")] = "cosine"
