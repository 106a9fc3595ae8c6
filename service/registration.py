"""From a bundle on disk to a ready SuperLM: checked, copied, entered in the catalogue."""

import shutil
from pathlib import Path

from sqlalchemy.orm import Session

from autodistil.errors import InvalidBundle, InvalidInput
from autodistil.superlm.bundle import SuperLM, copy_bundle, open_superlm
from database import superlms
from database.errors import Conflict
from database.tables import SuperLMRow


def register_bundle(session: Session, source: Path, superlms_dir: Path) -> tuple[SuperLMRow, bool]:
    """Register a bundle; the same bundle again is not an error.

    Args:
        session: A session; the row appears when it commits.
        source: Folder of the bundle.
        superlms_dir: Where the bundle is copied to, as `name@version`.

    Returns:
        The row, and whether it is new.

    Raises:
        InvalidBundle: Says what is wrong with the bundle.
        Conflict: The name and version are taken by another bundle.
    """
    superlm = open_superlm(source)
    spec = superlm.spec
    superlms.lock(session)  # two copies into one folder would spoil each other
    existing = superlms.find(session, spec.name, spec.version)
    if existing is not None:
        if existing.sha256 == superlm.sha256:
            return existing, False
        raise Conflict(
            f"{spec.reference} is registered with other content; versions never change. "
            "Register it under a new version.",
            registered_sha256=existing.sha256,
        )
    return superlms.register(session, _copy(superlm, superlms_dir / spec.reference)), True


def _copy(superlm: SuperLM, target: Path) -> SuperLM:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():  # left by a registration that died before its row was committed
        try:
            left = open_superlm(target)
            if left.sha256 == superlm.sha256:
                return left
        except InvalidBundle:
            pass
        shutil.rmtree(target)
    return copy_bundle(superlm, target)


def check_path(path: Path, roots: list[Path]) -> Path:
    """A server-side path that the operator allows bundles to come from.

    Raises:
        InvalidInput: It is relative, outside the allowed folders, or cannot be followed.
    """
    if not path.is_absolute() or "\0" in str(path):
        raise InvalidInput("'path' must be an absolute path on the server.")
    try:
        resolved = path.resolve()
        resolved.is_dir()  # raises what following the path would raise
    except (OSError, RuntimeError) as error:  # RuntimeError is a loop of links
        raise InvalidInput(f"'path' cannot be followed ({type(error).__name__}).") from error
    if roots and not any(resolved.is_relative_to(root.resolve()) for root in roots):
        raise InvalidInput(
            f"{path} is not below a folder that this service takes bundles from "
            f"(AUTODISTIL_BUNDLE_ROOTS: {', '.join(map(str, roots))})."
        )
    return resolved
