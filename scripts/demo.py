"""The whole way once: start the stack, ask for a student, download it, use it in transformers.

Run by `make demo`. Leaves the student and its receipt in students/demo/.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

STUDENT = Path("students/demo")
DATA = Path("data/demo")
AUTODISTIL = [sys.executable, "-m", "cli.main"]

# Run in a fresh interpreter, with the folder's path as the only thing it knows of autodistil.
PLAIN_TRANSFORMERS = """
import sys
import torch
from transformers import AutoModel, AutoTokenizer

folder = sys.argv[1]
model, info = AutoModel.from_pretrained(folder, output_loading_info=True)
tokenizer = AutoTokenizer.from_pretrained(folder)
assert not any(info.values()), info
sentences = [
    "A man is playing a guitar.",
    "Someone plays music on an instrument.",
    "The stock market fell sharply today.",
    "Shares lost value on Wall Street.",
]
tokens = tokenizer(sentences, padding=True, return_tensors="pt")
with torch.inference_mode():
    hidden = model(**tokens).last_hidden_state
mask = tokens["attention_mask"].unsqueeze(-1)
vectors = torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1)
assert "autodistil" not in sys.modules
print(f"{type(model).__name__} from {folder}: no missing, unexpected or new weights")
for a, b in ((0, 1), (2, 3), (0, 2)):
    print(f"  {float(vectors[a] @ vectors[b]):.3f}  {sentences[a]}  |  {sentences[b]}")
"""


def main() -> None:
    """Run the demo."""
    started = time.monotonic()
    for folder in (STUDENT, DATA):
        shutil.rmtree(folder, ignore_errors=True)
    print("1. starting the stack: embedded Valkey, SQLite, a Celery worker, uvicorn", flush=True)
    up = subprocess.Popen(
        [*AUTODISTIL, "up", "--port", "0", "--data-dir", str(DATA)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        url = wait_for_url(up)
        print(f"   ready at {url}\n")
        print("2. the best student of all-MiniLM-L6-v2 within 60M MACs:", flush=True)
        environment = {
            **os.environ,
            "AUTODISTIL_URL": url,
            "AUTODISTIL_API_KEY": (DATA / "admin-key").read_text().strip(),
        }
        request = ["request", "--teacher", "all-MiniLM-L6-v2", "--macs", "60M"]
        subprocess.run([*AUTODISTIL, *request, "--out", str(STUDENT)], env=environment, check=True)
        print(f"   receipt in {STUDENT / 'receipt.json'}\n\n3. plain transformers:", flush=True)
        subprocess.run(
            [sys.executable, "-I", "-W", "ignore", "-c", PLAIN_TRANSFORMERS, str(STUDENT)],
            env={**os.environ, "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"},
            check=True,
        )
    finally:
        up.send_signal(signal.SIGTERM)
        status = up.wait(60)
    if status:
        sys.exit(f"the stack ended with status {status}")
    print(f"\ndone in {time.monotonic() - started:.0f} s; the stack is stopped")


def wait_for_url(up: "subprocess.Popen[str]") -> str:
    """Read what `autodistil up` prints until it says where it is."""
    assert up.stdout is not None
    for line in up.stdout:
        if line.startswith("autodistil is ready at "):
            return line.split()[4]
    sys.exit(f"the stack did not start (status {up.wait()}); see {DATA}")


if __name__ == "__main__":
    main()
