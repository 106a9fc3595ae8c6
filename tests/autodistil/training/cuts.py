"""What the tests of cutting share."""

from torch import Tensor

from autodistil.models.teacher import Teacher
from autodistil.spaces.sub_space import HeadPolicy, SubSpace
from autodistil.training.settings import StartSettings
from autodistil.training.start import Start

PLAIN = StartSettings(least_squares=False)
"""Cut only, so that what is cut can be found again by its values."""

FULL = SubSpace(
    name="full",
    head_policy=HeadPolicy.STOCK,
    head_width=16,
    layers=(4,),
    hidden=(64,),
    ffn_percent=(400,),
)
"""One student, of the tiny teacher's own sizes."""

REORDERED = FULL.model_copy(update={"hidden": (32, 64)})
"""The same and a narrower one, for whose sake the channels are ranked."""


def channel_order(teacher: Teacher, start: Start) -> Tensor:
    """Which of the teacher's channels each stored channel is, by its unique random values."""
    name = "embeddings.LayerNorm.bias"
    order = (teacher.tensors[name][None] == start.tensors[name][:, None]).int()
    assert (order.sum(1) == 1).all()
    return order.argmax(1)
