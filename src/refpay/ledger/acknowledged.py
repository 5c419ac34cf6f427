"""What is remembered of acknowledged ledger writes outside the database, to read them back later.

A database that lost a commit has lost every row of it, so a witness in the same database would agree with
the loss. Files in a folder of their own do not.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self
from uuid import UUID

from pydantic import TypeAdapter

from refpay.ledger.entries import Entry

SUFFIX: Final = ".jsonl"
_CHUNK_BYTES: Final = 1024 * 1024
_LINE: Final = TypeAdapter(tuple[UUID, str, str])


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """An entry that was committed, as the ledger has to have it: `lines` in the form of `lines_text`."""

    operation_id: UUID
    kind: str
    lines: str

    @classmethod
    def of(cls, entry: Entry) -> Self:
        """Return the acknowledgement of an entry."""
        lines = sorted((line.account, line.currency.value, line.amount_minor) for line in entry.lines)
        text = ";".join(f"{account} {currency} {amount}" for account, currency, amount in lines)
        return cls(entry.operation_id, entry.kind.value, text)

    @classmethod
    def from_json(cls, line: bytes) -> Self:
        """Return what `to_json` wrote; raises ValueError for anything else."""
        return cls(*_LINE.validate_json(line))

    def to_json(self) -> bytes:
        """Return one line without its end."""
        return _LINE.dump_json((self.operation_id, self.kind, self.lines))


class AcknowledgementReader:
    """Reads the files of every writer in a folder, each line once; a torn last line is not read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._offsets: dict[Path, int] = {}
        self.malformed = 0

    def read(self, limit: int) -> list[Acknowledgement]:
        """Return at most `limit` that were not returned before, oldest file first.

        Raises OSError if the folder or a file cannot be read; the next call then returns the same again.
        """
        found: list[Acknowledgement] = []
        malformed = 0
        # Not by glob(), which takes a folder that is gone or closed to us for an empty one.
        files = sorted(file for file in self._folder.iterdir() if file.suffix == SUFFIX)
        offsets = {file: self._offsets.get(file, 0) for file in files}
        for file in files:
            if len(found) >= limit:
                break
            try:
                lines = _whole_lines(file, offsets[file])[: limit - len(found)]
            except FileNotFoundError:
                # Its writer removed it meanwhile, because newer ones took its place.
                del offsets[file]
                continue
            offsets[file] += sum(len(line) + 1 for line in lines)
            for line in lines:
                try:
                    found.append(Acknowledgement.from_json(line))
                except ValueError:
                    malformed += 1
        # Only now: nothing counts as returned if a later file could not be read.
        self._offsets = offsets
        self.malformed += malformed
        return found


def _whole_lines(file: Path, offset: int) -> list[bytes]:
    with file.open("rb") as stream:
        stream.seek(offset)
        return stream.read(_CHUNK_BYTES).split(b"\n")[:-1]
