"""What all workers of a group have in common, those to come included, for ways out that have to say it."""

import json
import os
import re
import secrets
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from moneypath.telemetry.recording.shared.file import UNBORN

IDENTITY = "identity.json"
SIZE_LIMIT_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Identity:
    """Name a group, and say since when its counters count."""

    id: str
    begun_unix_nanos: int


def identify(folder: Path) -> Identity:
    """Return the identity of the group in a folder, given by whoever asks first; raises OSError."""
    path = folder / IDENTITY
    known = _read(path)
    if known is not None:
        return known
    identity = Identity(secrets.token_hex(8), time.time_ns())
    draft = folder / f"{UNBORN}identity-{os.getpid()}-{identity.id}"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            json.dump(asdict(identity), stream)
        if path.exists():
            # What nobody understands is replaced.
            draft.replace(path)
        else:
            with suppress(FileExistsError):
                path.hardlink_to(draft)
    finally:
        draft.unlink(missing_ok=True)
    return _read(path) or identity


def _read(path: Path) -> Identity | None:
    try:
        with path.open("rb") as stream:
            document = json.loads(stream.read(SIZE_LIMIT_BYTES))
        begun = document["begun_unix_nanos"]
        if re.fullmatch(r"[0-9a-f]{16}", document["id"]) and isinstance(begun, int) and begun > 0:
            return Identity(document["id"], begun)
    except (FileNotFoundError, ValueError, KeyError, TypeError, RecursionError):
        pass
    return None
