"""Read a witness from a file of JSON lines."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from moneypath.witnesses.columns import Columns, Row
from moneypath.witnesses.declaration import Witness
from moneypath.witnesses.errors import WitnessInvalid, WitnessUnreadable

LINE_BYTES_MAX: Final = 16 * 1024
_PAGE_ROWS: Final = 5_000


@dataclass(slots=True)
class FileSource:
    """A file with one JSON object a line. `torn_line` is its last line, if that has no end."""

    witness: Witness
    folder: Path
    columns: Columns
    torn_line: int | None = None

    def pages(self, found: set[str]) -> Iterator[Sequence[Row]]:
        """Yield the rows in pages; `found` gets the columns that there are."""
        file = self.folder / str(self.witness.file)
        page: list[Row] = []
        try:
            with file.open("rb") as stream:
                lines = iter(lambda: stream.readline(LINE_BYTES_MAX + 1), b"")
                for number, line in enumerate(lines, start=1):
                    if number > self.witness.rows_max:
                        raise self._unreadable(f"more than {self.witness.rows_max} rows")
                    if not line.endswith(b"\n") and len(line) <= LINE_BYTES_MAX and not _is_whole(line):
                        self.torn_line = number
                        break
                    page.append(self._row(line, number, found))
                    if len(page) == _PAGE_ROWS:
                        yield page
                        page = []
        except OSError as error:
            raise WitnessInvalid(
                f"witness {self.witness.id}: {file} cannot be read: {error.strerror}",
                hint="Name a file of JSON lines.",
            ) from None
        missing = self.columns.find_problem(found) if found else None
        if missing:
            raise self._invalid(f"{missing[0]}; allowed: {missing[1]}")
        yield page

    def _row(self, line: bytes, number: int, found: set[str]) -> Row:
        if len(line) > LINE_BYTES_MAX:
            raise self._invalid(f"line {number} is longer than {LINE_BYTES_MAX} bytes")
        try:
            row = _parse(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise self._invalid(f"line {number} is no JSON object")
        if not row.keys() <= found:
            unknown = sorted(row.keys() - set(self.columns.all))
            if unknown:
                what = f"line {number} has the unknown column {', '.join(unknown)}"
                raise self._invalid(f"{what}; allowed: {', '.join(self.columns.all)}")
            found.update(row)
        values = tuple(row.get(name) for name in self.columns.all)
        if not all(value is None or isinstance(value, str) for value in values):
            raise self._invalid(f"line {number} has a value that is neither text nor a number")
        return values

    def _invalid(self, what: str) -> WitnessInvalid:
        text = f"witness {self.witness.id}, {self.witness.file}: {what}"
        return WitnessInvalid(text, hint="Correct the file: one JSON object a line, texts and numbers.")

    def _unreadable(self, what: str) -> WitnessUnreadable:
        hint = "Audit by windows, or raise rows_max. Nothing was proven."
        return WitnessUnreadable(f"witness {self.witness.id}: {what}", hint=hint)


def _parse(line: bytes) -> Any:  # Any: what JSON can be
    # Numbers stay as they are written: a float has no exact amount, and digits may be many.
    return json.loads(line, parse_int=str, parse_float=str, parse_constant=str)


def _is_whole(line: bytes) -> bool:
    try:
        _parse(line)
    except (ValueError, RecursionError):
        return False
    return True
