"""Random teachers of every family: weights, biases, norms and tables all random."""

from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    BertConfig,
    BertModel,
    BertTokenizerFast,
    DistilBertConfig,
    DistilBertModel,
    ElectraConfig,
    ElectraModel,
    ModernBertConfig,
    ModernBertModel,
    MPNetConfig,
    MPNetModel,
    RobertaConfig,
    RobertaModel,
    XLMRobertaConfig,
    XLMRobertaModel,
)

from tests.factories import VOCABULARY

_SIZES = {
    "hidden_size": 64,
    "num_hidden_layers": 5,
    "num_attention_heads": 4,
    "intermediate_size": 128,
}
_OWN_NAMES = {"dim": 64, "n_layers": 5, "n_heads": 4, "hidden_dim": 128}
_SPECIAL = {"bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3}

TEACHERS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "bert": (BertConfig, BertModel, {}),
    "roberta": (RobertaConfig, RobertaModel, {"pad_token_id": 1, "type_vocab_size": 1}),
    "xlm-roberta": (XLMRobertaConfig, XLMRobertaModel, {"pad_token_id": 1, "type_vocab_size": 1}),
    "distilbert": (DistilBertConfig, DistilBertModel, _OWN_NAMES),
    "electra": (ElectraConfig, ElectraModel, {"embedding_size": 64}),
    "electra-narrow": (ElectraConfig, ElectraModel, {"embedding_size": 24}),
    "mpnet": (MPNetConfig, MPNetModel, {"pad_token_id": 1}),
    "modernbert": (
        ModernBertConfig,
        ModernBertModel,
        {"pad_token_id": 0, "local_attention": 8, "global_attn_every_n_layers": 2, **_SPECIAL},
    ),
    "modernbert-biases": (
        ModernBertConfig,
        ModernBertModel,
        {
            **{"pad_token_id": 0, "local_attention": 8, **_SPECIAL},
            **{"norm_bias": True, "attention_bias": True, "mlp_bias": True},
        },
    ),
}
"""Config class, model class, and settings of each."""


def family_model(name: str, seed: int = 0) -> nn.Module:
    """A random model of a family."""
    config_class, model_class, own = TEACHERS[name]
    sizes = {} if own is _OWN_NAMES else _SIZES
    config = config_class(
        vocab_size=len(VOCABULARY), max_position_embeddings=80, **{**sizes, **own}
    )
    torch.manual_seed(seed)
    model: nn.Module = model_class(config).eval()
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if parameter.ndim == 1 and parameter_name.endswith("weight"):  # of a norm
                parameter.normal_(1.0, 0.3)
            else:
                parameter.normal_(0.0, 0.12 if parameter.ndim > 1 else 0.2)
    return model


def write_family_teacher(folder: Path, name: str, seed: int = 0) -> Path:
    """Save a random teacher of a family, with a tokenizer that has its padding token."""
    model: Any = family_model(name, seed)
    model.save_pretrained(folder)
    tokens = list(VOCABULARY)
    tokens.remove("[PAD]")
    tokens.insert(model.config.pad_token_id, "[PAD]")
    tokenizer = BertTokenizerFast(vocab={token: i for i, token in enumerate(tokens)})
    tokenizer.save_pretrained(folder)
    return folder
