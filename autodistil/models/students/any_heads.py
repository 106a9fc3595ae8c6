"""Heads of any number and width, for models of `transformers` that derive one from the other.

This file travels with students of head policy `teacher`, beside the one that names their classes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from torch import nn


class HeadWidth:
    """A config with the width of a head; beside the config class of a family."""

    def __init__(self, head_width: int = 64, **kwargs: Any) -> None:
        self.head_width = head_width
        super().__init__(**kwargs)


class AnyHeads:
    """A model with heads of its config's `head_width`; beside the model class of a family.

    Attributes:
        attention: Class of the modules that attend.
        into: Their maps from the hidden states to the heads.
        output: Class of the modules that map the heads back.
        back: Their map.
    """

    attention: ClassVar[type[nn.Module]]
    into: ClassVar[tuple[str, ...]]
    output: ClassVar[type[nn.Module]]
    back: ClassVar[str]

    def __init__(self, config: Any, *args: Any, **kwargs: Any) -> None:
        with _one_head(config):  # which divides every width
            super().__init__(config, *args, **kwargs)  # type: ignore[call-arg]  # of the model
        heads, width = config.num_attention_heads, config.head_width
        model: Any = self
        for module in model.modules():
            if isinstance(module, self.attention):
                _describe(module, heads, width)
                for name in self.into:
                    old = getattr(module, name)
                    stacked = old.out_features // config.hidden_size  # queries, keys, and values
                    setattr(module, name, _like(old, old.in_features, stacked * heads * width))
            if isinstance(module, self.output):
                old = getattr(module, self.back)
                setattr(module, self.back, _like(old, heads * width, old.out_features))
        self.resize_rest(heads)
        model.post_init()

    def resize_rest(self, heads: int) -> None:
        """Resize what else depends on the number of heads; nothing, in most families."""


@contextmanager
def _one_head(config: Any) -> Iterator[None]:
    heads = config.num_attention_heads
    config.num_attention_heads = 1
    try:
        yield
    finally:
        config.num_attention_heads = heads


def _describe(module: Any, heads: int, width: int) -> None:
    """Tell an attention of its heads, by the names that it uses."""
    found = {
        "num_attention_heads": heads,
        "n_heads": heads,
        "attention_head_size": width,
        "head_dim": width,
        "all_head_size": heads * width,
        "scaling": width**-0.5,
    }
    for name, value in found.items():
        if hasattr(module, name):
            setattr(module, name, value)


def _like(old: nn.Linear, into: int, out: int) -> nn.Linear:
    return nn.Linear(into, out, bias=old.bias is not None, device=old.weight.device)
