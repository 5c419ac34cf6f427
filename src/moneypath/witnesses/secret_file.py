"""Read the address of a database from a file that nobody else can read."""

import os
import stat
from pathlib import Path
from typing import Final

from moneypath.witnesses.errors import WitnessInvalid

_BYTES_MAX: Final = 4096
_OTHERS: Final = stat.S_IRWXO


def read_secret(file: Path) -> str:
    """Return the one line of a secret file; raises WitnessInvalid, which never quotes it."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise _refuse(file, f"cannot be read: {error.strerror}") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise _refuse(file, "is not a regular file")
        if status.st_mode & _OTHERS:
            raise _refuse(
                file,
                f"is open to everybody (mode {stat.S_IMODE(status.st_mode):04o}), allowed: 0600 or 0640",
                hint=f"Run chmod 600 {file}, and change the password: others may have read it.",
            )
        content = os.read(descriptor, _BYTES_MAX + 1)
    finally:
        os.close(descriptor)
    try:
        text = content.decode("utf-8").strip()
    except UnicodeDecodeError:
        raise _refuse(file, "is not UTF-8 text") from None
    if not text or len(content) > _BYTES_MAX or "\n" in text:
        raise _refuse(file, f"is not one line of 1 to {_BYTES_MAX} bytes")
    return text


def _refuse(file: Path, what: str, hint: str = "Name a file with the database's address.") -> WitnessInvalid:
    return WitnessInvalid(f"secret file {file}: {what}", hint=hint)
