"""What held-out text says about a student without labels, as plain numbers."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Loss = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Correlation = Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)]


class Signals(BaseModel):
    """Label-free signals of one student, averaged over batches of held-out text.

    Attributes:
        relation_loss: KL of the self-attention relations of the last layer, teacher to student.
        hidden_relation_loss: The same of the relations between the last hidden states of tokens.
        similarity_loss: KL of the similarities between the sentences of a batch.
        neighbour_agreement: Rank correlation of the student's and the teacher's cosines over pairs
            of sentences near each other in the text; 0 where there are no such pairs.
        stranger_agreement: The same over pairs from different places of the text.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    relation_loss: Loss
    hidden_relation_loss: Loss
    similarity_loss: Loss
    neighbour_agreement: Correlation
    stranger_agreement: Correlation
