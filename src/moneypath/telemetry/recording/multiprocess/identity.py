"""The identity of a worker group, which exporters need: an id and the start time of its counters."""

import json
import os
import re
import secrets
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from moneypath.telemetry.recording.multiprocess.file import UNFINISHED_PREFIX

IDENTITY = "identity.json"
SIZE_LIMIT_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Identity:
    """The id of a group and the time at which its counters started."""

    id: str
    start_time_unix_nano: int


def identify(folder: Path) -> Identity:
    """Return the identity of the group in a folder. The first caller creates it. Raises OSError."""
    path = folder / IDENTITY
    known = _read(path)
    if known is not None:
        return known
    identity = Identity(secrets.token_hex(8), time.time_ns())
    draft = folder / f"{UNFINISHED_PREFIX}identity-{os.getpid()}-{identity.id}"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            json.dump(asdict(identity), stream)
        if path.exists():
            # Replace a file that cannot be read.
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
        started_at = document["start_time_unix_nano"]
        if re.fullmatch(r"[0-9a-f]{16}", document["id"]) and isinstance(started_at, int) and started_at > 0:
            return Identity(document["id"], started_at)
    except (FileNotFoundError, ValueError, KeyError, TypeError, RecursionError):
        pass
    return None
