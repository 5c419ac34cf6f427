"""Hold the rows of the witnesses: in memory, or beyond a limit in temporary files by merchant reference."""

import pickle
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any, Final, NamedTuple, Self

from moneypath.oracle.records import Acknowledgement, Charge, PostingLine, Request

ROWS_IN_MEMORY: Final = 400_000
# So many that the rows of one part are few, so few that all of their files can be open.
PARTS: Final = 64
_BATCH: Final = 20_000


class Witness(StrEnum):
    """The kinds of rows; each has a file in each part."""

    POSTINGS = "postings"
    BOOK = "book"
    ANSWERS = "answers"
    REQUESTS = "requests"


@dataclass(slots=True)
class Rows:
    """The rows of one part, or of all. Without `requests` nobody recorded them."""

    postings: Sequence[PostingLine] = ()
    book: Sequence[Charge] = ()
    answers: Sequence[Acknowledgement] = ()
    requests: Sequence[Request] | None = None


_TYPES: Final[dict[Witness, type[NamedTuple]]] = {
    Witness.POSTINGS: PostingLine,
    Witness.BOOK: Charge,
    Witness.ANSWERS: Acknowledgement,
    Witness.REQUESTS: Request,
}
_REFERENCES: Final = {
    Witness.POSTINGS: PostingLine._fields.index("merchant_reference"),
    Witness.BOOK: Charge._fields.index("reference"),
    Witness.ANSWERS: Acknowledgement._fields.index("merchant_reference"),
    Witness.REQUESTS: Request._fields.index("merchant_reference"),
}


@dataclass(slots=True)
class Spool:
    """Takes the rows of each witness. Use it in a `with` block: its files are removed at the end."""

    rows_in_memory: int
    memory: dict[Witness, list[Any]] = field(default_factory=lambda: {one: [] for one in Witness})
    folder: Path | None = None
    _files: dict[tuple[Witness, int], IO[bytes]] = field(default_factory=dict)
    _undo: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    @property
    def spilled(self) -> bool:
        """Whether the rows are in files."""
        return self.folder is not None

    @property
    def rows(self) -> Rows:
        """Return the rows that are in memory."""
        held = self.memory
        return Rows(held[Witness.POSTINGS], held[Witness.BOOK], held[Witness.ANSWERS], held[Witness.REQUESTS])

    def take(self, witness: Witness, rows: Iterable[Any]) -> None:
        """Take the rows of one witness, in their order."""
        left = iter(rows)
        held = self.memory[witness]
        while not self.spilled:
            batch = list(islice(left, _BATCH))
            if not batch:
                return
            held += batch
            if sum(map(len, self.memory.values())) > self.rows_in_memory:
                self._spill()
        self._write(witness, left)

    def close_files(self) -> Path:
        """Finish the files, and return their folder."""
        for file in self._files.values():
            file.close()
        if self.folder is None:
            raise RuntimeError("the rows are in memory")
        return self.folder

    def _spill(self) -> None:
        self.folder = Path(self._undo.enter_context(TemporaryDirectory(prefix="moneypath-audit-")))
        for witness in Witness:
            for part in range(PARTS):
                file = self._undo.enter_context((self.folder / _name(witness, part)).open("xb"))
                self._files[witness, part] = file
        for witness, held in self.memory.items():
            self._write(witness, iter(held))
            held.clear()

    def _write(self, witness: Witness, rows: Iterator[Any]) -> None:
        place = _REFERENCES[witness]
        files = [self._files[witness, part] for part in range(PARTS)]
        # Plain tuples: a named one is pickled by a call of its own.
        while batch := list(map(tuple, islice(rows, _BATCH))):
            parts: list[list[Any]] = [[] for _ in range(PARTS)]
            for row in batch:
                parts[hash(row[place]) % PARTS].append(row)
            for file, part in zip(files, parts, strict=True):
                if part:
                    pickle.dump(part, file, pickle.HIGHEST_PROTOCOL)


def read_part(folder: Path, part: int, *, recorded: bool) -> Rows:
    """Read the rows of one part, each witness in its order."""
    requests = list(_read(folder, Witness.REQUESTS, part)) if recorded else None
    return Rows(
        list(_read(folder, Witness.POSTINGS, part)),
        list(_read(folder, Witness.BOOK, part)),
        list(_read(folder, Witness.ANSWERS, part)),
        requests,
    )


def _read(folder: Path, witness: Witness, part: int) -> Iterator[Any]:
    make = partial(tuple.__new__, _TYPES[witness])
    with (folder / _name(witness, part)).open("rb") as file:
        while True:
            try:
                # Written a moment ago by this user, in a folder that only this user can enter.
                batch = pickle.load(file)  # noqa: S301 - written by this audit
            except EOFError:
                return
            yield from map(make, batch)


def _name(witness: Witness, part: int) -> str:
    return f"{witness}-{part:02}"
