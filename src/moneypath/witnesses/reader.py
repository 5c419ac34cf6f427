"""Read the witnesses of one reconciliation, and translate their rows to the oracle's records."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from moneypath.oracle.records import Acknowledgement, Charge, PostingLine
from moneypath.witnesses.accounts import Accounts
from moneypath.witnesses.answer_rows import AnswerRows
from moneypath.witnesses.book_rows import BookRows
from moneypath.witnesses.columns import Columns, Row, columns_of
from moneypath.witnesses.declaration import Reconciliation, Witness, WitnessFile
from moneypath.witnesses.faults import Faults
from moneypath.witnesses.file_source import FileSource
from moneypath.witnesses.ledger_rows import LedgerRows
from moneypath.witnesses.reading import Reading
from moneypath.witnesses.sources import source_of
from moneypath.witnesses.tally import Tally
from moneypath.witnesses.vocabulary import Kind
from moneypath.witnesses.window import Window

Record = TypeVar("Record", PostingLine, Charge, Acknowledgement)


@dataclass(slots=True)
class Reader:
    """Reads the witnesses of one reconciliation; what it noticed on the way is in `tallies` and `faults`."""

    declared: WitnessFile
    one: Reconciliation
    folder: Path
    window: Window
    faults: Faults = field(default_factory=Faults)
    tallies: dict[str, Tally] = field(default_factory=dict)

    @property
    def ledger(self) -> Witness | None:
        """Return the ledger, if there is one."""
        return self.declared.find(self.one.ledger) if self.one.ledger else None

    @property
    def books(self) -> tuple[Witness, ...]:
        """Return the books of the providers."""
        return tuple(self.declared.find(name) for name in self.one.books)

    @property
    def answers(self) -> Witness | None:
        """Return what callers were told, if that is on record."""
        return self.declared.find(self.one.answers) if self.one.answers else None

    @property
    def has_authorizations(self) -> bool:
        """Whether every book has authorizations, so that they can be compared."""
        return bool(self.books) and all(Kind.AUTHORIZE in book.kinds for book in self.books)

    def postings(self) -> Iterator[PostingLine]:
        """Yield the lines of the ledger."""
        witness = self.ledger
        if witness is not None:
            rows = LedgerRows(self._begin(witness), Accounts(witness.accounts))
            columns = columns_of(witness, compared_with_answers=self.one.answers is not None)
            yield from self._read(rows.reading, columns, rows.lines)

    def charges(self) -> Iterator[Charge]:
        """Yield the operations of all books."""
        first = 0
        for witness in self.books:
            rows = BookRows(self._begin(witness), self.has_authorizations, first)
            yield from self._read(rows.reading, columns_of(witness), rows.charges)
            first += rows.reading.tally.rows

    def acknowledgements(self) -> Iterator[Acknowledgement]:
        """Yield what callers were told."""
        witness = self.answers
        if witness is not None:
            rows = AnswerRows(self._begin(witness), self.has_authorizations)
            yield from self._read(rows.reading, columns_of(witness), rows.answers)

    def _begin(self, witness: Witness) -> Reading:
        reading = Reading(witness, self.declared.currencies, self.window, self.faults)
        self.tallies[witness.id] = reading.tally
        return reading

    def _read(
        self, reading: Reading, columns: Columns, translate: Callable[[Sequence[Row]], Iterator[Record]]
    ) -> Iterator[Record]:
        source = source_of(reading.witness, self.folder, columns, self.window)
        found: set[str] = set()
        for page in source.pages(found):
            reading.tally.columns = frozenset(found)
            records = translate(page)
            if not reading.tally.is_compared:
                yield from self._first_judged(reading.tally, records)
            yield from records
        if isinstance(source, FileSource):
            reading.tally.torn_line = source.torn_line

    def _first_judged(self, tally: Tally, records: Iterator[Record]) -> Iterator[Record]:
        """Yield records up to the first in the time that is judged; earlier ones are counterparts alone."""
        for record in records:
            at = record.posted_at if isinstance(record, PostingLine) else record.at
            tally.is_compared = self.window.judges(at)
            yield record
            if tally.is_compared:
                return
