"""Unpacking a downloaded student without trusting the archive."""

import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

from autodistil.errors import AutoDistilError
from autodistil.spec import FileEntry


class DamagedArchive(AutoDistilError):
    """An archive that is not the student of its receipt."""

    status = 502
    type = "damaged-archive"
    title = "The archive is not the student of its receipt"


def unpack_into(archive: Path, folder: Path, receipt: dict[str, Any]) -> None:
    """Unpack a student and write `receipt.json` beside it; the folder appears only when right.

    Only files that the receipt lists are taken, each must have the size and hash it says.

    Raises:
        DamagedArchive: Something in the archive is not as the receipt says.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        _extract(archive, partial, receipt["files"])
        (partial / "receipt.json").write_text(json.dumps(receipt, indent=2) + "\n")
        if folder.exists():
            folder.rmdir()  # empty, or it would have been refused
        partial.replace(folder)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise DamagedArchive(f"{archive.name} cannot be unpacked: {error}.") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _extract(archive: Path, folder: Path, files: dict[str, dict[str, Any]]) -> None:
    folder.mkdir(parents=True)
    left = dict(files)
    with tarfile.open(archive, "r:gz") as tar:
        for member in tar:
            entry = left.pop(member.name, None)
            if entry is None or not member.isreg() or member.size != entry["size_bytes"]:
                raise DamagedArchive(f"{archive.name} holds {member.name!r} against its receipt.")
            tar.extract(member, folder, filter="data")
            if FileEntry.of(folder / member.name).sha256 != entry["sha256"]:
                raise DamagedArchive(f"{member.name} differs from the receipt.")
    if left:
        raise DamagedArchive(f"{archive.name} lacks {', '.join(sorted(left))}.")
