"""Keep every seal outside the database, where its owner cannot write: a file that only ever grows.

Its last line is the head of the chain. All lines together are what each entry was when it was sealed, so that
`verify` can name the entry that was changed, also if the owner has computed the whole chain anew.
"""

import base64
import fcntl
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final
from uuid import UUID

from refpay.errors import RefpayError
from refpay.seals.chain import GENESIS, LEAF_BYTES, Seal, check_link

# Four times the longest line, which is a seal of 2,000 entries.
_LINE_MAXIMUM_BYTES: Final = 512 * 1024


class SealLogDamaged(RefpayError, code="seal_log_damaged"):
    """The seals outside the database are not as they were written."""


class SealLog:
    """The seals of one chain, from the first one on. Several processes may extend it."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def begin(self) -> None:
        """Make the file, without a seal. Raises OSError, also if it is there."""
        os.close(os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))

    def read_last(self) -> Seal | None:
        """Return the newest seal, whose `previous` is not known, or None if there is none.

        What a writer that died has left of a line does not count. Raises SealLogDamaged or OSError.
        """
        descriptor = os.open(self.file, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return self._read_end(descriptor)[1]
        finally:
            os.close(descriptor)

    def extend(self, seals: Sequence[Seal]) -> None:
        """Append the seals that are not there yet, and sync them to disk.

        Raises OSError, or SealLogDamaged if the first of them does not follow the last one that is there.
        """
        descriptor = os.open(self.file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            end, last = self._read_end(descriptor)
            seq, digest = (last.seq, last.digest) if last else (0, GENESIS)
            fresh = [seal for seal in seals if seal.seq > seq]
            if fresh and (fresh[0].seq, fresh[0].previous) != (seq + 1, digest):
                raise SealLogDamaged(f"seal {fresh[0].seq} does not follow the last one: {self.file}")
            content = b"".join(map(_to_line, fresh))
            # What is left of a line, by a full disk or a death, is written over.
            os.ftruncate(descriptor, end)
            done = 0
            while done < len(content):
                done += os.pwrite(descriptor, content[done:], end + done)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def read(self) -> Iterator[Seal]:
        """Yield every seal in order, each checked against the one before.

        Raises SealLogDamaged or OSError.
        """
        seq, previous = 1, GENESIS
        with self.file.open("rb") as stream:
            while line := stream.readline(_LINE_MAXIMUM_BYTES):
                if not line.endswith(b"\n") and len(line) < _LINE_MAXIMUM_BYTES:
                    return
                seal = self._from_line(line, previous)
                if check_link(seal, seq=seq, previous=previous):
                    raise SealLogDamaged(f"line {seq} is not as it was written: {self.file}")
                yield seal
                seq, previous = seq + 1, seal.digest

    def _read_end(self, descriptor: int) -> tuple[int, Seal | None]:
        """Return where the last whole line ends, and its seal."""
        size = os.fstat(descriptor).st_size
        begin = max(0, size - _LINE_MAXIMUM_BYTES)
        tail = os.pread(descriptor, size - begin, begin)
        end = tail.rfind(b"\n")
        if end < 0 and begin:
            raise SealLogDamaged(f"the end is not a seal: {self.file}")
        if end < 0:
            return 0, None
        line = tail[tail.rfind(b"\n", 0, end) + 1 : end]
        return begin + end + 1, self._from_line(line, GENESIS)

    def _from_line(self, line: bytes, previous: bytes) -> Seal:
        try:
            seq, through_in, leaves, digest = line.split()
            content = base64.b64decode(leaves, validate=True)
            seal = Seal(
                seq=int(seq),
                entries=len(content) // LEAF_BYTES,
                through_in=int(through_in),
                through_id=UUID(bytes=content[-LEAF_BYTES:][:16]),
                leaves=content,
                previous=previous,
                digest=bytes.fromhex(digest.decode("ascii")),
            )
        except ValueError as problem:
            raise SealLogDamaged(f"not a seal: {self.file}") from problem
        if not seal.is_possible:
            raise SealLogDamaged(f"not a position in a chain: {self.file}")
        return seal


def _to_line(seal: Seal) -> bytes:
    # The rest follows from the leaves and the line before.
    leaves = base64.b64encode(seal.leaves).decode("ascii")
    return f"{seal.seq} {seal.through_in} {leaves} {seal.digest.hex()}\n".encode("ascii")
