"""The anchor file: the heads of event logs, one a line, appended where the runner cannot take them back."""

import json
import os
import stat
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Final

from pydantic import AwareDatetime, Field

from moneypath.errors import MoneypathError
from moneypath.incidents.events import Event, LogHead
from moneypath.incidents.evidence_files import EvidenceModel, parse_model
from moneypath.incidents.manifest import Sha256

MAX_LINE_BYTES: Final = 4096
MAX_FILE_BYTES: Final = 256 * 1024 * 1024
CLOCK_SKEW: Final = timedelta(minutes=5)
"""By how much the clocks of the machines that append to one file may differ."""


class AnchorFailed(MoneypathError):
    """An anchor file that cannot be written or read."""

    code = "anchor_failed"


class Anchor(EvidenceModel):
    """One line: the head of a run's log at a time.

    `manifest` and `signature` are hashes of the sealed bundle's files; a line that was written at the
    beginning of a run has none. `at` is the time of whoever wrote the line.
    """

    at: AwareDatetime
    run: Annotated[str, Field(min_length=1, max_length=200)]
    seq: Annotated[int, Field(ge=1)]
    hash: Sha256
    manifest: Sha256 | None = None
    signature: Sha256 | None = None


def new_anchor(
    run: str, head: LogHead, *, manifest: str | None = None, signature: str | None = None
) -> Anchor:
    """Return the anchor of a log's head, written now."""
    now = datetime.now(UTC).replace(microsecond=0)
    return Anchor(at=now, run=run, seq=head.seq, hash=head.hash, manifest=manifest, signature=signature)


def check_writable(file: Path) -> None:
    """Raise AnchorFailed unless lines can be appended to `file`, which is made if there is none."""
    os.close(_open(file))


def append(file: Path, anchor: Anchor) -> None:
    """Append one line and have it on disk; raises AnchorFailed unless `file` is a regular file."""
    line = json.dumps(anchor.model_dump(mode="json"), sort_keys=True).encode() + b"\n"
    descriptor = _open(file)
    try:
        if os.write(descriptor, line) != len(line):
            raise AnchorFailed(f"anchor was written in part: {file}", hint="Make room on its disk.")
        os.fsync(descriptor)
    except OSError as error:
        raise AnchorFailed(f"anchor cannot be written: {file} ({error.strerror})") from None
    finally:
        os.close(descriptor)


def read_anchors(file: Path) -> tuple[Anchor, ...]:
    """Return all lines; raises AnchorFailed or EvidenceInvalid that names the first that is no anchor."""
    try:
        if not file.is_file():
            raise AnchorFailed(f"anchor file is no regular file: {file}", hint="Name the file of --anchor.")
        if file.stat().st_size > MAX_FILE_BYTES:
            raise AnchorFailed(f"anchor file is longer than {MAX_FILE_BYTES} bytes: {file}")
        lines = file.read_bytes().splitlines()
    except OSError as error:
        raise AnchorFailed(f"anchor file cannot be read: {file} ({error.strerror})") from None
    return tuple(
        parse_model(line[:MAX_LINE_BYTES], Anchor, f"{file.name}:{number}")
        for number, line in enumerate(lines, start=1)
    )


def divergences(
    anchors: Sequence[Anchor], run: str, events: Sequence[Event], *, manifest: str, signature: str | None
) -> Iterator[str]:
    """Yield a sentence for each way in which a bundle is not the one that was anchored for its run.

    A line that is much older than the line before it was not appended when it says.
    """
    for number, (earlier, later) in enumerate(pairwise(anchors), start=2):
        if later.at < earlier.at - CLOCK_SKEW:
            yield f"line {number} of the anchor file is older than the line before it"
    own = [(number, anchor) for number, anchor in enumerate(anchors, start=1) if anchor.run == run]
    for number, anchor in own:
        if anchor.seq > len(events) or events[anchor.seq - 1].hash != anchor.hash:
            yield f"line {number} of the anchor file names another event {anchor.seq} of run {run}"
        elif anchor.manifest is not None and anchor.manifest != manifest:
            yield f"line {number} of the anchor file names another bundle of run {run}"
        elif anchor.signature is not None and anchor.signature != signature:
            what = "carries no signature" if signature is None else "carries another one"
            yield f"line {number} of the anchor file names a signed bundle of run {run}; this one {what}"
    if not any(anchor.manifest is not None for _, anchor in own):
        yield f"the anchor file does not hold the bundle of run {run}"


def _open(file: Path) -> int:
    try:
        descriptor = os.open(
            file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_NOFOLLOW, 0o644
        )
    except OSError as error:
        raise AnchorFailed(
            f"anchor file cannot be opened: {file} ({error.strerror})",
            hint="Name a regular file, not a link, in a folder where you may write.",
        ) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise AnchorFailed(f"anchor file is no regular file: {file}", hint="Name a regular file.")
    return descriptor
