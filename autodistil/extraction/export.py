"""A student's tensors as a `transformers` folder, and the folder as an archive."""

import io
import shutil
import tarfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isal import igzip

from autodistil.evaluation.candidates import Candidate
from autodistil.extraction.model_card import model_card
from autodistil.extraction.sentence_files import write_json, write_sentence_modules
from autodistil.spaces.architecture import Architecture
from autodistil.spaces.spec import FileEntry
from autodistil.spaces.tensors import EncoderConfig
from autodistil.superlm.bundle import SuperLM
from autodistil.superlm.tokenizers import write_tokenizer

if TYPE_CHECKING:
    from torch import Tensor

_MODEL_FILE = "modeling_student.py"


def export_transformers(
    superlm: SuperLM,
    candidate: Candidate,
    tensors: "dict[str, Tensor]",
    to_teacher: "dict[str, Tensor] | None",
    folder: Path,
) -> dict[str, FileEntry]:
    """Write a student as a folder that `AutoModel.from_pretrained` loads.

    A stock student is a plain BERT. Any other carries its own model class in the folder. Of a
    sentence embedder's student, sentence-transformers finds the modules after the encoder beside
    it.

    Args:
        superlm: The SuperLM it was sliced from.
        candidate: The student.
        tensors: Its tensors, from `slice_student`.
        to_teacher: Its map to the teacher's width, from `slice_map`; None leaves its vectors as
            wide as it is.
        folder: An empty or missing folder.

    Returns:
        Size and hash of every file written.
    """
    from safetensors.torch import save_file

    architecture = candidate.architecture
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    write_json(folder / "config.json", model_config(architecture, superlm.spec.encoder))
    write_tokenizer(superlm, architecture.vocab, folder)
    if not architecture.stock:
        source = Path(__file__).parents[1] / "models" / "student_model.py"
        shutil.copyfile(source, folder / _MODEL_FILE)
    if superlm.spec.teacher.embedding is not None:
        write_sentence_modules(
            superlm.spec.teacher.embedding, architecture.hidden, to_teacher, folder
        )
    (folder / "README.md").write_text(
        model_card(superlm, candidate, to_teacher is not None), encoding="utf-8"
    )
    return {
        path.relative_to(folder).as_posix(): FileEntry.of(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def model_config(architecture: Architecture, encoder: EncoderConfig) -> dict[str, Any]:
    """A student's `config.json`."""
    config: dict[str, Any] = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_size": architecture.hidden,
        "num_hidden_layers": architecture.layers,
        "num_attention_heads": architecture.heads,
        "intermediate_size": architecture.intermediate,
        "vocab_size": architecture.vocab or encoder.vocab_size,
        "max_position_embeddings": encoder.max_position_embeddings,
        "type_vocab_size": encoder.type_vocab_size,
        "hidden_act": encoder.hidden_act,
        "layer_norm_eps": encoder.layer_norm_eps,
        "pad_token_id": encoder.pad_token_id,
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "initializer_range": 0.02,
        "dtype": "float32",
        "transformers_version": version("transformers"),
    }
    if not architecture.stock:
        module = _MODEL_FILE.removesuffix(".py")
        config |= {
            "architectures": ["StudentModel"],
            "model_type": "autodistil-bert",
            "head_width": architecture.head_width,
            "auto_map": {
                "AutoConfig": f"{module}.StudentConfig",
                "AutoModel": f"{module}.StudentModel",
            },
        }
    return config


def pack(folder: Path, archive: Path) -> None:
    """Pack a folder as a .tar.gz.

    Its bytes depend on the files, and on the kind of CPU, but not on time or user. Half of the bits
    of fp32 weights that were stored as fp16 are zeros, so packing nearly halves the file; zlib
    would take five times as long for it as everything else that makes a student.
    """
    with (
        archive.open("wb") as raw,
        igzip.IGzipFile("", "wb", 2, raw, 0) as zipped,  # type: ignore[no-untyped-call]
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            entry = tarfile.TarInfo(path.relative_to(folder).as_posix())
            content = path.read_bytes()
            entry.size, entry.mode = len(content), 0o644
            tar.addfile(entry, io.BytesIO(content))
