"""Whether a training should multiply in bfloat16."""

from typing import Literal

import torch


def uses_bf16(precision: Literal["auto", "fp32", "bf16"], device: torch.device) -> bool:
    """Whether the models of a run are to compute in bfloat16.

    Args:
        precision: As in the settings; `auto` takes what is faster.
        device: Where they run. A CPU without instructions for bfloat16 takes twice as long with it
            as without.
    """
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
