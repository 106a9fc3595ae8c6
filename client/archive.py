"""Unpacking a downloaded student without trusting the archive."""

import json
import tarfile
import zlib
from pathlib import Path
from typing import Any

from autodistil.errors import AutoDistilError
from autodistil.output_folder import appearing
from autodistil.spaces.spec import FileEntry


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
        InvalidInput: The folder is not empty, or cannot be written.
    """
    with appearing(folder) as partial:
        try:
            _extract(archive, partial, receipt["files"])
        except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
            raise DamagedArchive(f"{archive.name} cannot be unpacked: {error}.") from error
        (partial / "receipt.json").write_text(json.dumps(receipt, indent=2) + "\n")


def _extract(archive: Path, folder: Path, files: dict[str, dict[str, Any]]) -> None:
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
