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
from autodistil.families.architecture import Architecture
from autodistil.families.encoder import EncoderConfig
from autodistil.models.own_models import HEADS_FILE, OWN_CLASSES, own_file, own_type
from autodistil.spaces.spec import FileEntry
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

    A student that stock `transformers` cannot hold carries its own model class in the folder. Of a
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
    encoder = superlm.spec.encoder_of(architecture)
    write_json(folder / "config.json", model_config(architecture, encoder))
    write_tokenizer(superlm, architecture.vocab, folder)
    if not architecture.stock:
        shutil.copyfile(own_file(encoder.family), folder / _MODEL_FILE)
        shutil.copyfile(HEADS_FILE, folder / HEADS_FILE.name)
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
    """A student's `config.json`.

    Args:
        architecture: The student.
        encoder: What it shares with its teacher; its layers are the student's.
    """
    config: dict[str, Any] = {
        "architectures": [encoder.model_class],
        "model_type": encoder.family,
        **encoder.student_config(architecture),
        "dtype": "float32",
        "transformers_version": version("transformers"),
    }
    if not architecture.stock:
        module = _MODEL_FILE.removesuffix(".py")
        config |= {
            "architectures": [OWN_CLASSES["AutoModel"]],
            "model_type": own_type(encoder.family),
            "head_width": architecture.head_width,
            "auto_map": {auto: f"{module}.{own}" for auto, own in OWN_CLASSES.items()},
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
