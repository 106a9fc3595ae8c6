"""The files of a source: which they are, and a hash of them."""

import hashlib
from pathlib import Path

from autodistil.errors import InvalidInput


def files_with(source: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """The file itself, or the files of a folder and its sub-folders by their endings, sorted.

    Args:
        source: A file or folder.
        suffixes: Endings in small letters; those of the files may be in any.

    Raises:
        InvalidInput: There are none.
    """
    if source.is_file():
        return [source]
    if not source.exists():
        raise InvalidInput(f"{source}: there is no such file or folder.")
    files = sorted(p for p in source.rglob("*") if p.is_file() and has_suffix(p, suffixes))
    if not files:
        raise InvalidInput(f"{source}: no files named {listed(suffixes)}.")
    return files


def has_suffix(path: Path, suffixes: tuple[str, ...]) -> bool:
    """Whether a file's name has one of some endings, in capitals or not."""
    return path.name.lower().endswith(suffixes)


def listed(suffixes: tuple[str, ...]) -> str:
    """Endings as a message names them."""
    return ", ".join(f"*{suffix}" for suffix in suffixes)


def hash_files(files: list[Path]) -> str:
    """sha256 over the names and contents of files.

    Raises:
        InvalidInput: One cannot be read.
    """
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.name.encode())
        try:
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise InvalidInput(f"{path} cannot be read: {error.strerror}.") from error
    return digest.hexdigest()
