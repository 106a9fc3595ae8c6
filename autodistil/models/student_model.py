"""Model class of a student whose heads are not hidden / heads wide (head policy `teacher`).

This file travels with it, because `transformers` has no such BERT.
Load it with `AutoModel.from_pretrained(folder, trust_remote_code=True)`.
"""

from typing import Any

from torch import nn
from transformers import BertConfig, BertModel
from transformers.models.bert.modeling_bert import BertSelfAttention


class StudentConfig(BertConfig):  # type: ignore[no-untyped-call]  # transformers is half typed
    """A BERT config with the width of a head.

    Args:
        head_width: Width of a head.
        kwargs: Those of `BertConfig`.
    """

    model_type = "autodistil-bert"

    def __init__(self, head_width: int = 64, **kwargs: Any) -> None:
        self.head_width = head_width
        super().__init__(**kwargs)


class StudentSelfAttention(BertSelfAttention):
    """Self-attention with any number of heads of the config's width."""

    def __init__(self, config: StudentConfig, layer_idx: int) -> None:
        super().__init__(config, layer_idx=layer_idx)  # type: ignore[no-untyped-call]
        self.attention_head_size = config.head_width
        self.all_head_size = self.num_attention_heads * config.head_width
        self.scaling = config.head_width**-0.5
        self.query = nn.Linear(config.hidden_size, self.all_head_size)
        self.key = nn.Linear(config.hidden_size, self.all_head_size)
        self.value = nn.Linear(config.hidden_size, self.all_head_size)


class StudentModel(BertModel):  # type: ignore[no-untyped-call]
    """BERT with heads of the config's width."""

    config_class = StudentConfig

    def __init__(self, config: StudentConfig, add_pooling_layer: bool = True) -> None:
        # BertSelfAttention refuses widths that heads do not divide, unless this attribute is there.
        config.embedding_size = config.hidden_size
        super().__init__(config, add_pooling_layer=add_pooling_layer)
        layers: Any = self.encoder.layer
        for index, layer in enumerate(layers):
            attention = StudentSelfAttention(config, index)
            layer.attention.self = attention
            layer.attention.output.dense = nn.Linear(attention.all_head_size, config.hidden_size)
        self.post_init()  # type: ignore[no-untyped-call]
