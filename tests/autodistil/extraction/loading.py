"""A student's folder loaded as a user would, in a process that knows nothing of this project."""

import os
import subprocess
import sys
from pathlib import Path

import torch
from torch import Tensor

from autodistil.text.corpus import Batch

_LOAD = """
import sys
import torch
from transformers import AutoModel, AutoTokenizer

torch.set_num_threads(1)
folder, trust, exchange = sys.argv[1], sys.argv[2] == "trust", sys.argv[3]
options = {"trust_remote_code": True} if trust else {}
model, info = AutoModel.from_pretrained(folder, output_loading_info=True, **options)
assert not any(info.values()), info
assert not model.training
AutoTokenizer.from_pretrained(folder, **options)
inputs = torch.load(exchange)
with torch.no_grad():
    hidden = model(**inputs).last_hidden_state
assert not [name for name in sys.modules if name.split(".")[0] == "autodistil"]
torch.save(hidden, exchange)
print(type(model).__name__)
"""


def run_elsewhere(folder: Path, batch: Batch, trust: bool) -> tuple[str, Tensor]:
    """Class of the model in a folder, and its last hidden states, [batch, tokens, hidden].

    Args:
        folder: The student; beside it, files are written.
        batch: What the model is run on.
        trust: Whether the code in the folder may run.
    """
    beside = folder.parent
    exchange = beside / "exchange.pt"
    torch.save({"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}, exchange)
    loaded = subprocess.run(
        [
            *(sys.executable, "-W", "error", "-c", _LOAD, str(folder)),
            *("trust" if trust else "plain", str(exchange)),
        ],
        cwd=beside,
        env={**os.environ, "HF_HOME": str(beside / "hub"), "HF_HUB_OFFLINE": "1"},
        check=True,
        capture_output=True,
        text=True,
    )
    return loaded.stdout.strip(), torch.load(exchange)
