"""What held-out text says about a student without labels, as plain numbers."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Loss = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Correlation = Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)]


class Signals(BaseModel):
    """Label-free signals of one student, averaged over batches of held-out text.

    Attributes:
        vector_distance: 1 - cosine between the student's sentence vector, in the teacher's width,
            and the teacher's; None for teachers that are no sentence embedders.
        relation_loss: KL of the self-attention relations of the last layer, teacher to student;
            None for students of sentence embedders, as is the next one.
        hidden_relation_loss: The same of the relations between the last hidden states of tokens.
        similarity_loss: KL of the similarities between the sentences of a batch.
        neighbour_agreement: Rank correlation of the student's and the teacher's cosines over pairs
            of sentences near each other in the text; 0 where there are no such pairs.
        stranger_agreement: The same over pairs from different places of the text.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    vector_distance: Loss | None = None
    relation_loss: Loss | None = None
    hidden_relation_loss: Loss | None = None
    similarity_loss: Loss
    neighbour_agreement: Correlation
    stranger_agreement: Correlation

    @property
    def loss(self) -> float:
        """How far the student is from what it was trained to match: less is better."""
        if self.vector_distance is not None:
            return self.vector_distance
        return (self.relation_loss or 0.0) + self.similarity_loss
