"""Read a secret from its file, and refuse a file that others on the machine may read."""

import os
import stat
from pathlib import Path
from typing import Final

from moneypath.errors import MoneypathError

SECRET_BYTES_MAX: Final = 16 * 1024
# The rule of libpq for a key file. Root's own may be read by a group, as secrets are mounted.
_NOT_OURS: Final = stat.S_IRWXG | stat.S_IRWXO
_NOT_ROOTS: Final = stat.S_IWGRP | stat.S_IXGRP | stat.S_IRWXO
HINT: Final = "Write the secret alone into it, and run chmod 600 on it."


class SecretFileUnusable(MoneypathError):
    """A secret's file that is missing, holds no secret, or may be read by others. Nothing of it is quoted."""

    code = "secret_file_unusable"
    exit_code = 2


def read_private(file: Path) -> bytes:
    """Return the content of `file`, at most SECRET_BYTES_MAX and one byte; raise SecretFileUnusable."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            # Of the open file: the name may lead elsewhere a moment later.
            _refuse(file, os.fstat(descriptor))
            return os.read(descriptor, SECRET_BYTES_MAX + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise SecretFileUnusable(f"{file}: cannot be read: {error.strerror}.", hint=HINT) from None


def read_secret(file: Path) -> str:
    """Return the one line of text in `file`; raise SecretFileUnusable."""
    content = read_private(file)
    if len(content) > SECRET_BYTES_MAX:
        raise SecretFileUnusable(f"{file}: is larger than {SECRET_BYTES_MAX} bytes.", hint=HINT)
    try:
        text = content.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise SecretFileUnusable(f"{file}: is not UTF-8 text.", hint=HINT) from None
    if not text.strip() or not text.isprintable():
        raise SecretFileUnusable(f"{file}: does not hold one line of printable text.", hint=HINT)
    return text


def require_private(file: Path) -> None:
    """Raise SecretFileUnusable for a file that others may read; what is in it is for its reader to judge."""
    try:
        status = file.stat()
    except OSError:
        return  # its reader says so
    _refuse(file, status)


def _refuse(file: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise SecretFileUnusable(f"{file}: is not a regular file.", hint=HINT)
    refused = _NOT_ROOTS if status.st_uid == 0 and os.geteuid() != 0 else _NOT_OURS
    if status.st_mode & refused:
        mode = stat.S_IMODE(status.st_mode)
        raise SecretFileUnusable(
            f"{file}: may be read by others (mode {mode:04o}); allowed: 0600.", hint=HINT
        )
