"""Turn the rows of a ledger that is not ours into the oracle's posting lines."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from moneypath.oracle.records import PostingLine
from moneypath.witnesses.accounts import Account, Accounts, class_of
from moneypath.witnesses.columns import Row
from moneypath.witnesses.faults import show
from moneypath.witnesses.reading import Reading
from moneypath.witnesses.vocabulary import AccountRole, Kind, Shape, Sign

_OF_PROVIDER: Final = frozenset(
    (
        AccountRole.RECEIVABLE,
        AccountRole.PAYOUT_CLEARING,
        AccountRole.PROVIDER_FEE,
        AccountRole.SUSPENSE,
    )
)
# The debited and the credited account of what a row of shape `single` implies.
_IMPLIED: Final = {
    Kind.CAPTURE: (AccountRole.RECEIVABLE, AccountRole.PAYABLE),
    Kind.REFUND: (AccountRole.PAYABLE, AccountRole.RECEIVABLE),
    Kind.PAYOUT: (AccountRole.PAYABLE, AccountRole.RECEIVABLE),
    Kind.CHARGEBACK: (AccountRole.PAYABLE, AccountRole.RECEIVABLE),
    Kind.CHARGEBACK_REVERSAL: (AccountRole.RECEIVABLE, AccountRole.PAYABLE),
}
_CASES: Final = frozenset((Kind.CHARGEBACK, Kind.CHARGEBACK_REVERSAL))
_UNWITNESSED: Final = frozenset((Kind.FEE, Kind.EXCHANGE, Kind.OTHER))
_NOBODY: Final = Account(None, "no account")
# An undeclared word may be one of the oracle's own; so it is set apart.
_UNDECLARED: Final = "undeclared"


@dataclass(slots=True)
class LedgerRows:
    """Translates rows of one ledger, in the order of its columns."""

    reading: Reading
    accounts: Accounts

    def lines(self, rows: Iterable[Row]) -> Iterator[PostingLine]:
        """Yield the lines of these rows: one, or two where a row says both sides."""
        shape, reading = self.reading.witness.shape, self.reading
        for row in rows:
            reading.tally.rows += 1
            kind = reading.kinds.get(row[1])
            at = reading.read_time(row[9], row[0])
            if at is None:
                continue
            if kind is Kind.NO_MONEY:
                reading.tally.skipped[kind] += 1
                continue
            head = self._head(row, kind, at)
            if shape is Shape.LINES:
                yield self._line(head, row)
            elif shape is Shape.TWO_SIDED:
                yield from self._two_sides(head, row)
            else:
                yield from self._implied(head, row, kind)

    def _head(self, row: Row, kind: Kind | None, at: float) -> list[Any]:  # Any: the fields of a line
        """Return the fields of a line, its account and amount still open."""
        entry_id, raw, provider, key, reference, asked, payment, beneficiary, currency = row[:9]
        reading = self.reading
        if entry_id is None:
            entry_id = reading.name_row("entry_id")
        if currency not in reading.currencies:
            reading.refuse_currency(entry_id, currency)
        if kind in _CASES:
            # No client asked for it; the oracle looks for the case's name here.
            asked = key
        elif kind in _UNWITNESSED:
            reading.tally.skipped[kind] += 1
        name = f"{_UNDECLARED} {show(raw)}" if kind is None else kind.value
        return [
            entry_id, name, "", provider or "", key or "", payment or "", reference or "", asked or "", "",
            currency or "", 0, at, beneficiary or "", "", "",
        ]  # fmt: skip

    def _line(self, head: list[Any], row: Row) -> PostingLine:
        minor, misstated = self.reading.read_amount(row[10], head[9])
        if self.reading.witness.sign is Sign.CREDIT_POSITIVE:
            minor = -minor
        return self._on(self._read(row[11]), head, minor, misstated)

    def _two_sides(self, head: list[Any], row: Row) -> Iterator[PostingLine]:
        debit, credit = self._read(row[11]), self._read(row[12])
        minor, misstated = self._magnitude(row, head)
        if not head[3]:
            head[3] = next((each.owner for each in (debit, credit) if each.role in _OF_PROVIDER), "")
        yield self._on(debit, head, minor, misstated)
        yield self._on(credit, head, -minor, misstated)

    def _implied(self, head: list[Any], row: Row, kind: Kind | None) -> Iterator[PostingLine]:
        """Yield both sides of what a row implies; money of other kinds has no side that anybody knows."""
        if kind in _UNWITNESSED:
            return
        minor, misstated = self._magnitude(row, head)
        sides = (_NOBODY, _NOBODY)
        if kind is not None:
            debit, credit = _IMPLIED[kind]
            sides = (Account(debit, ""), Account(credit, ""))
        yield self._on(sides[0], head, minor, misstated)
        yield self._on(sides[1], head, -minor, misstated)

    def _magnitude(self, row: Row, head: list[Any]) -> tuple[int, str]:
        minor, misstated = self.reading.read_amount(row[10], head[9])
        return (0, str(row[10])) if minor < 0 else (minor, misstated)

    def _read(self, text: str | float | None) -> Account:
        return _NOBODY if text is None else self.accounts.read(str(text))

    def _on(self, account: Account, head: Sequence[Any], minor: int, misstated: str) -> PostingLine:
        role, name, owner = account
        fields = [*head]
        if role is None:
            name = f"{_UNDECLARED} {name}" if account is not _NOBODY else name
        elif not owner:
            name = f"{class_of(role)}:{head[3] if role in _OF_PROVIDER else head[12]}"
        if role is AccountRole.PROVIDER_FEE:
            self.reading.tally.fees[head[3], head[9]] += minor
        fields[8], fields[10], fields[14] = name, minor, misstated
        return tuple.__new__(PostingLine, fields)
