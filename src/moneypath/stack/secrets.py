"""Secrets of one run: created once, in files that only their owner can read."""

import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from moneypath.stack.errors import FolderUnwritable


def mint(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Create one secret per name (256 bits, file mode 0600) and return them by name.

    An existing secret is kept, so that a folder can be used again. The folder gets mode 0700.
    """
    return {name: write_once(folder / name, secrets.token_urlsafe(32)) for name in names}


def mint_client(folder: Path, name: str) -> str:
    """Create the file `<name>_client` with `name:secret` unless it exists; return the secret."""
    return write_once(folder / f"{name}_client", f"{name}:{secrets.token_urlsafe(32)}").partition(":")[2]


def write_once(file: Path, text: str) -> str:
    """Write a private file and its folder unless the file exists; return its content."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.parent.chmod(0o700)
        return _keep(file, text)
    except OSError as error:
        raise FolderUnwritable(
            f"folder not writable: {file.parent} ({error.strerror})",
            hint="Choose a run folder that you own: the secrets are stored there.",
        ) from error


def read(folder: Path, name: str) -> str:
    """Return a secret that was created before; raises OSError if there is none."""
    return (folder / name).read_text(encoding="utf-8").strip()


def _keep(file: Path, value: str) -> str:
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return file.read_text(encoding="utf-8").strip()
    with os.fdopen(descriptor, "w", encoding="utf-8") as writer:
        writer.write(value)
    return value
