"""The files by which sentence-transformers knows what comes after the encoder."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autodistil.spaces.embedding import Pooling, SentenceEmbedding

if TYPE_CHECKING:
    from torch import Tensor

DENSE = "2_Dense"
"""Folder of the map to the teacher's width."""


def write_sentence_modules(
    embedding: SentenceEmbedding,
    hidden: int,
    to_teacher: "dict[str, Tensor] | None",
    folder: Path,
) -> None:
    """Write the modules of a student after its encoder.

    Args:
        embedding: How its teacher embeds sentences.
        hidden: Width of the student.
        to_teacher: Its map to the teacher's width, by the names of `map_shapes`; None: it has none.
        folder: The student's folder.
    """
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling")]
    write_json(folder / "1_Pooling" / "config.json", _pooling(embedding.pooling, hidden))
    if to_teacher is not None:
        kinds.append((DENSE, "Dense"))
        _write_dense(embedding.width, hidden, to_teacher, folder / DENSE)
    if embedding.normalize:
        kinds.append((f"{len(kinds)}_Normalize", "Normalize"))
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(kinds)
    ]
    write_json(folder / "modules.json", modules)
    write_json(
        folder / "sentence_bert_config.json",
        {"max_seq_length": embedding.max_seq_length, "do_lower_case": embedding.do_lower_case},
    )
    write_json(
        folder / "config_sentence_transformers.json",
        {
            "prompts": embedding.prompts,
            "default_prompt_name": embedding.default_prompt_name,
            "similarity_fn_name": embedding.similarity,
        },
    )


def write_json(path: Path, content: object) -> None:
    """Write a value as indented JSON; missing folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _pooling(pooling: Pooling, hidden: int) -> dict[str, Any]:
    """Every flag that some server asks for, not only the one that is set."""
    return {
        "word_embedding_dimension": hidden,
        "pooling_mode_cls_token": pooling is Pooling.CLS,
        "pooling_mode_mean_tokens": pooling is Pooling.MEAN,
        "pooling_mode_max_tokens": pooling is Pooling.MAX,
        "pooling_mode_mean_sqrt_len_tokens": pooling is Pooling.MEAN_SQRT_LEN,
        "pooling_mode_weightedmean_tokens": False,
        "pooling_mode_lasttoken": pooling is Pooling.LAST,
        "include_prompt": True,
    }


def _write_dense(width: int, hidden: int, tensors: "dict[str, Tensor]", folder: Path) -> None:
    from safetensors.torch import save_file

    write_json(
        folder / "config.json",
        {
            "in_features": hidden,
            "out_features": width,
            "bias": True,
            "activation_function": "torch.nn.modules.linear.Identity",
        },
    )
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
