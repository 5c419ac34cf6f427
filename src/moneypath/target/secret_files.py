"""Read a secret from its file, and refuse a file that everybody on the machine can read."""

import os
import stat
from pathlib import Path
from typing import Final

from moneypath.target.errors import SecretUnreadable

SECRET_BYTES_MAX: Final = 16 * 1024
_HINT: Final = "Write the secret alone into it, and run chmod 600 on it."


def read_secret(file: Path) -> str:
    """Return the one line of text in `file`, without the line's end.

    A group may read it, as the secrets that a cluster mounts are; all others may not. Raises
    SecretUnreadable, which quotes nothing of the file.
    """
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as stream:
            # Of the file that was opened, which a path need not name a moment later.
            status = os.fstat(descriptor)
            content = stream.read(SECRET_BYTES_MAX + 1) if stat.S_ISREG(status.st_mode) else b""
    except OSError as error:
        raise SecretUnreadable(f"{file}: cannot be read: {error.strerror}.", hint=_HINT) from None
    if not stat.S_ISREG(status.st_mode):
        raise SecretUnreadable(f"{file}: is not a regular file.", hint=_HINT)
    if status.st_mode & stat.S_IRWXO:
        raise _exposed(file, status.st_mode)
    if len(content) > SECRET_BYTES_MAX:
        raise SecretUnreadable(f"{file}: is larger than {SECRET_BYTES_MAX} bytes.", hint=_HINT)
    return _one_line(file, content)


def require_private(file: Path) -> None:
    """Raise SecretUnreadable for a file that everybody can open; what is in it is for its reader to judge."""
    try:
        mode = file.stat().st_mode
    except OSError:
        return  # its reader says so
    if not stat.S_ISREG(mode):
        raise SecretUnreadable(f"{file}: is not a regular file.", hint=_HINT)
    if mode & stat.S_IRWXO:
        raise _exposed(file, mode)


def _exposed(file: Path, mode: int) -> SecretUnreadable:
    allowed = f"everybody may open it (mode {stat.S_IMODE(mode):04o}); allowed: 0600, 0400, 0640, 0440"
    return SecretUnreadable(f"{file}: {allowed}.", hint=_HINT)


def _one_line(file: Path, content: bytes) -> str:
    try:
        text = content.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise SecretUnreadable(f"{file}: is not UTF-8 text.", hint=_HINT) from None
    if not text.strip() or not text.isprintable():
        raise SecretUnreadable(f"{file}: does not hold one line of printable text.", hint=_HINT)
    return text
