"""Secrets of one run: minted, kept in files that only their owner can read."""

import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from moneypath.stack.errors import FolderUnwritable


def mint(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Create one secret per name (256 bits, file mode 0600) and return them by name.

    A secret that exists is kept, so that a folder can be used again. The folder is made 0700.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        return {name: _mint_one(folder / name) for name in names}
    except OSError as error:
        raise FolderUnwritable(
            f"folder not writable: {folder} ({error.strerror})",
            hint="Secrets are kept there: choose a run folder that you own.",
        ) from error


def read(folder: Path, name: str) -> str:
    """Return a secret that was minted before; raises OSError when there is none."""
    return (folder / name).read_text(encoding="utf-8").strip()


def _mint_one(file: Path) -> str:
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return file.read_text(encoding="utf-8").strip()
    value = secrets.token_urlsafe(32)
    with os.fdopen(descriptor, "w", encoding="utf-8") as writer:
        writer.write(value)
    return value
