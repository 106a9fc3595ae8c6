"""The bundle: a SuperLM on disk, as plain files that anyone can read and check.

    superlm.json            the spec: sub-space, kept layers, teacher, provenance, every hash
    weights.safetensors     the tensors of the largest student, of which every other student is a
                            slice, and the maps to the teacher's width
    candidates.json         cost and held-out signals of every student
    README.md               what it is, and the Pareto front of its students, for people
    losses.jsonl            losses of the training, if it had any steps
    tokenizer/              the teacher's tokenizer, or its most frequent tokens

Nothing in a bundle is trusted: no pickle, no code, a strict spec, and every tensor's name, shape,
type, and values are checked. Opening one needs no torch.
"""

import hashlib
import json
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open

from autodistil.errors import InvalidBundle, InvalidInput, explain
from autodistil.evaluation.candidates import Candidate
from autodistil.spaces.spec import FileEntry, SuperLMSpec
from autodistil.superlm.card import bundle_card
from autodistil.training.loss_curve import LOSSES, read_losses

SPEC, WEIGHTS, CANDIDATES, CARD, TOKENIZER = (
    "superlm.json",
    "weights.safetensors",
    "candidates.json",
    "README.md",
    "tokenizer",
)
_TOKENIZER_FILES = {
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
}
_MAX_JSON_BYTES = 64 << 20


@dataclass(frozen=True)
class SuperLM:
    """An opened and checked bundle.

    Attributes:
        folder: Where it lies.
        spec: Its spec.
        sha256: Hash of `superlm.json`, which holds the hashes of all other files.
        candidates: Its candidate table.
    """

    folder: Path
    spec: SuperLMSpec
    sha256: str
    candidates: list[Candidate]

    @property
    def weights_path(self) -> Path:
        """The safetensors file of the largest student."""
        return self.folder / WEIGHTS

    @property
    def tokenizer_path(self) -> Path:
        """Folder of the tokenizer."""
        return self.folder / TOKENIZER


def open_superlm(folder: Path) -> SuperLM:
    """Open a bundle and check all of it.

    Raises:
        InvalidBundle: Says what is wrong; nothing was changed on disk.
    """
    if not folder.is_dir():
        raise InvalidBundle(f"There is no bundle folder {folder}.")
    spec, sha256 = _read_spec(folder)
    _check_listing(folder, spec)
    _check_weights(folder / WEIGHTS, spec)
    candidates = _read_candidates(folder, spec)
    _check_tokenizer(folder)
    _check_losses(folder, spec)
    _check_hashes(folder, spec)
    return SuperLM(folder, spec, sha256, candidates)


def _read_spec(folder: Path) -> tuple[SuperLMSpec, str]:
    path = folder / SPEC
    raw = _read_json_bytes(path)
    try:
        # Strict would refuse the strings that JSON object keys are, so integers are strict by type.
        return SuperLMSpec.model_validate_json(raw), hashlib.sha256(raw).hexdigest()
    except ValidationError as error:
        raise InvalidBundle(f"{SPEC}: {explain(error)}.") from error


def _read_json_bytes(path: Path) -> bytes:
    if path.is_symlink() or not path.is_file():
        raise InvalidBundle(f"{path.name} is missing, or is not a plain file.")
    if path.stat().st_size > _MAX_JSON_BYTES:
        raise InvalidBundle(f"{path.name} is larger than {_MAX_JSON_BYTES} bytes.")
    return path.read_bytes()


def _check_listing(folder: Path, spec: SuperLMSpec) -> None:
    """Exactly the listed files may be there, as plain files, and only names we know."""
    allowed = {WEIGHTS, CANDIDATES, CARD, LOSSES} | {
        f"{TOKENIZER}/{name}" for name in _TOKENIZER_FILES
    }
    if unknown := set(spec.files) - allowed:
        raise InvalidBundle(f"{SPEC} lists files no bundle has: {', '.join(sorted(unknown))}.")
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise InvalidBundle(f"{name} is a link or a special file; bundles hold plain files.")
        if path.is_file() and name not in {*spec.files, SPEC}:
            raise InvalidBundle(
                f"{name} is not listed in {SPEC}; only safetensors and JSON belong."
            )
    needed = {WEIGHTS, CANDIDATES, f"{TOKENIZER}/tokenizer.json", *spec.files}
    for name in sorted(needed):
        if name not in spec.files:
            raise InvalidBundle(f"{SPEC} does not list {name}.")
        if not (folder / name).is_file():
            raise InvalidBundle(f"{name} is missing.")


def _check_weights(path: Path, spec: SuperLMSpec) -> None:
    expected = spec.stored_shapes
    try:
        with safe_open(path, framework="numpy") as file:
            names = set(file.keys())
            if missing := sorted(set(expected) - names):
                raise InvalidBundle(
                    f"{WEIGHTS} lacks the tensor {missing[0]} ({len(missing)} missing in all)."
                )
            if extra := sorted(names - set(expected)):
                raise InvalidBundle(f"{WEIGHTS} holds the unknown tensor {extra[0]}.")
            for name, shape in expected.items():
                view = file.get_slice(name)
                if tuple(view.get_shape()) != shape:
                    raise InvalidBundle(
                        f"{WEIGHTS}: {name} has the shape {view.get_shape()}, "
                        f"the spec asks for {list(shape)}."
                    )
                if view.get_dtype() not in ("F16", "F32"):
                    raise InvalidBundle(f"{WEIGHTS}: {name} is {view.get_dtype()}, not F16 or F32.")
                if not np.isfinite(file.get_tensor(name)).all():
                    raise InvalidBundle(f"{WEIGHTS}: {name} holds values that are not finite.")
    except (SafetensorError, OSError) as error:
        raise InvalidBundle(
            f"{WEIGHTS} is not a whole safetensors file ({error}); pickles are never read."
        ) from error


def _read_candidates(folder: Path, spec: SuperLMSpec) -> list[Candidate]:
    candidates: list[Candidate] = []
    try:
        for row in json.loads(_read_json_bytes(folder / CANDIDATES)):
            candidates.append(Candidate.read(row))
    except ValidationError as error:
        raise InvalidBundle(f"{CANDIDATES}: {len(candidates)}.{explain(error)}.") from error
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise InvalidBundle(f"{CANDIDATES} is no list of candidate rows ({error}).") from error
    students = list(spec.space.students())
    if sorted(c.architecture.name for c in candidates) != sorted(s.name for s in students):
        raise InvalidBundle(f"{CANDIDATES} does not list each student of the sub-space once.")
    for candidate in candidates:
        if candidate.cost != spec.cost_of(candidate.architecture):
            raise InvalidBundle(f"{CANDIDATES}: wrong cost of {candidate.architecture.name}.")
        if candidate.sub_space != spec.space.name:
            raise InvalidBundle(
                f"{CANDIDATES}: {candidate.architecture.name} names another sub-space."
            )
        if not _measured(candidate, spec):
            raise InvalidBundle(
                f"{CANDIDATES}: {candidate.architecture.name} lacks held-out signals."
            )
    return candidates


def _measured(candidate: Candidate, spec: SuperLMSpec) -> bool:
    """Whether a candidate has the signals that the students of such a teacher have."""
    if candidate.signals is None:
        return False
    if spec.teacher.embedding is not None:
        return candidate.vector_distance is not None
    return None not in (candidate.relation_loss, candidate.hidden_relation_loss)


def _check_tokenizer(folder: Path) -> None:
    """JSON files must be JSON, and none may point `transformers` at code."""
    for path in sorted((folder / TOKENIZER).glob("*.json")):
        try:
            content = json.loads(_read_json_bytes(path))
        except (ValueError, RecursionError) as error:
            raise InvalidBundle(f"{TOKENIZER}/{path.name} is not JSON ({error}).") from error
        if isinstance(content, dict) and "auto_map" in content:
            raise InvalidBundle(f"{TOKENIZER}/{path.name} asks to run code (auto_map).")


def _check_losses(folder: Path, spec: SuperLMSpec) -> None:
    if LOSSES not in spec.files:
        return
    _read_json_bytes(folder / LOSSES)  # for its limits on size and kind
    try:
        read_losses(folder / LOSSES)
    except InvalidInput as error:
        raise InvalidBundle(str(error)) from error


def _check_hashes(folder: Path, spec: SuperLMSpec) -> None:
    for name, entry in spec.files.items():
        found = FileEntry.of(folder / name)
        if found.size_bytes != entry.size_bytes:
            raise InvalidBundle(
                f"{name} has {found.size_bytes} bytes, {SPEC} says {entry.size_bytes}: "
                "truncated or altered."
            )
        if found.sha256 != entry.sha256:
            raise InvalidBundle(f"{name} was altered: its sha256 differs from that in {SPEC}.")


def write_bundle_files(folder: Path, spec: SuperLMSpec, candidates: list[Candidate]) -> SuperLM:
    """Complete a bundle whose weights and tokenizer are in place, and check it.

    Args:
        folder: Holds `weights.safetensors`, `tokenizer/`, and the losses, if there are any.
        spec: The spec; its `files` are filled in here.
        candidates: The candidate table.
    """
    rows = [candidate.model_dump(mode="json") for candidate in candidates]
    lines = ",\n".join(json.dumps(row) for row in rows)
    (folder / CANDIDATES).write_text(f"[\n{lines}\n]\n")
    (folder / CARD).write_text(bundle_card(spec, candidates), encoding="utf-8")
    paths = [folder / name for name in (WEIGHTS, CANDIDATES, CARD)]
    paths += sorted((folder / TOKENIZER).iterdir())
    if (folder / LOSSES).is_file():
        paths.append(folder / LOSSES)
    files = {path.relative_to(folder).as_posix(): FileEntry.of(path) for path in paths}
    complete = spec.model_copy(update={"files": files})
    (folder / SPEC).write_text(complete.model_dump_json(indent=2) + "\n")
    return open_superlm(folder)


def copy_bundle(superlm: SuperLM, target: Path) -> SuperLM:
    """Copy a checked bundle; `target` appears only when the copy is whole and checked again.

    Raises:
        InvalidBundle: The bundle changed while it was copied.
        FileExistsError: `target` is there already.
    """
    if target.exists():
        raise FileExistsError(target)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        for name in [SPEC, *superlm.spec.files]:
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(superlm.folder / name, partial / name, follow_symlinks=False)
        copied = open_superlm(partial)
        os.replace(partial, target)
    except FileNotFoundError as error:
        raise InvalidBundle(f"{superlm.folder} changed while it was copied: {error}.") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return replace(copied, folder=target)
