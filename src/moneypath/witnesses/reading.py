"""What the translation of every witness shares: words, amounts, times, and faults of rows."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from moneypath.witnesses.amounts import ReadAmount, amount_reader
from moneypath.witnesses.declaration import Witness
from moneypath.witnesses.faults import FaultKind, Faults, show
from moneypath.witnesses.tally import Tally
from moneypath.witnesses.vocabulary import Kind
from moneypath.witnesses.window import Window, read_time


@dataclass(slots=True)
class Reading:
    """One witness while it is read."""

    witness: Witness
    currencies: Mapping[str, int]
    window: Window
    faults: Faults
    tally: Tally = field(init=False)
    kinds: Mapping[str | float | None, Kind] = field(init=False)
    _read_amount: ReadAmount = field(init=False)

    def __post_init__(self) -> None:
        self.tally = Tally(self.witness.id)
        self.kinds = {word: kind for kind, words in self.witness.kinds.items() for word in words}
        self._read_amount = amount_reader(self.witness.amount.unit, self.currencies)

    def read_amount(self, value: str | float | None, currency: str) -> tuple[int, str]:
        """Return an amount in the smallest unit, or 0 and the amount as it is written."""
        return self._read_amount(None if value is None else str(value), currency)

    def read_time(self, value: str | float | None, subject: str | float | None) -> float | None:
        """Return the time of a row, None if the row is not read.

        A row without a readable time is a fault and is read: it may be what another witness waits for.
        """
        at = read_time(value)
        if at is None:
            self.add(FaultKind.TIME_INVALID, subject, f"has the time {show(value)}")
            return max(self.window.since, 0.0)
        if not self.window.judges(at):
            self.tally.unjudged += 1
            if not self.window.reads(at):
                return None
        return at

    def refuse_currency(self, subject: str | float | None, currency: str | float | None) -> None:
        """Add a row whose currency is not declared."""
        detail = f"is in the currency {show(currency)}, declared: {', '.join(self.currencies)}"
        self.add(FaultKind.CURRENCY_UNDECLARED, subject, detail)

    def refuse_kind(self, subject: str | float | None, kind: str | float | None) -> None:
        """Add a row whose kind is not declared."""
        self.add(FaultKind.KIND_UNDECLARED, subject, f"is of the kind {show(kind)}")

    def name_row(self, column: str) -> str:
        """Return a name for a row that has none, and add that as a fault."""
        name = f"row {self.tally.rows}"
        self.add(FaultKind.NAME_MISSING, name, f"has no {column}")
        return name

    def add(self, kind: FaultKind, subject: str | float | None, detail: str) -> None:
        """Add a fault of a row."""
        self.faults.add(kind, self.witness.id, subject, detail)
