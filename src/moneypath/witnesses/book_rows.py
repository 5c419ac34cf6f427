"""Turn the rows of a provider's book into the oracle's charges."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from moneypath.oracle.records import Charge, ChargeStatus, Operation
from moneypath.witnesses.columns import Row
from moneypath.witnesses.declaration import STATUSES
from moneypath.witnesses.faults import FaultKind, show
from moneypath.witnesses.reading import Reading
from moneypath.witnesses.vocabulary import Kind, Sign

_MOVED, _REFUSED, _PENDING = STATUSES
_STATUS_OF: Final[Mapping[Operation, ChargeStatus]] = {
    Operation.AUTHORIZE: ChargeStatus.APPROVED,
    Operation.CAPTURE: ChargeStatus.CAPTURED,
    Operation.REFUND: ChargeStatus.REFUNDED,
    Operation.VOID: ChargeStatus.VOIDED,
    Operation.PAYOUT: ChargeStatus.PAID,
    Operation.CHARGEBACK: ChargeStatus.CHARGED_BACK,
    Operation.CHARGEBACK_REVERSAL: ChargeStatus.REVERSED,
}
_OWN_WORDS: Final[Mapping[str | float | None, str]] = {
    **{status.value: _MOVED for status in _STATUS_OF.values()},
    _MOVED: _MOVED,
    ChargeStatus.DECLINED.value: _REFUSED,
    ChargeStatus.REFUSED.value: _REFUSED,
    _PENDING: _PENDING,
}
_NO_OPERATION: Final = frozenset((Kind.FEE, Kind.EXCHANGE, Kind.OTHER, Kind.NO_MONEY))
_AUTHORIZATIONS: Final = frozenset((Kind.AUTHORIZE, Kind.VOID))


@dataclass(slots=True)
class BookRows:
    """Translates rows of one book; `first` is the number that its first operation gets."""

    reading: Reading
    with_authorizations: bool
    first: int = 0
    statuses: Mapping[str | float | None, str] = field(init=False)

    def __post_init__(self) -> None:
        declared = self.reading.witness.statuses
        self.statuses = {word: to for to, words in declared.items() for word in words} or _OWN_WORDS

    def charges(self, rows: Iterable[Row]) -> Iterator[Charge]:
        """Yield the operations of these rows."""
        reading, tally = self.reading, self.reading.tally
        for row in rows:
            tally.rows += 1
            kind, key = reading.kinds.get(row[2]), row[1]
            at = reading.read_time(row[8], key)
            if at is None:
                continue
            if "fee" in tally.columns:
                self._add_fee(row, key)
            if kind is None:
                reading.refuse_kind(key, row[2])
            elif kind in _NO_OPERATION or (kind in _AUTHORIZATIONS and not self.with_authorizations):
                tally.skipped[kind] += 1
            else:
                yield self._charge(row, Operation(kind.value), at)

    def _charge(self, row: Row, operation: Operation, at: float) -> Charge:
        provider, key, _, reference, currency, status, own, parent, _, amount, _ = row
        reading = self.reading
        if key is None:
            key = reading.name_row("key")
        if currency not in reading.currencies:
            reading.refuse_currency(key, currency)
        minor, misstated = self._amount(amount, str(currency or ""), operation)
        stands = _STATUS_OF[operation]
        if "status" in reading.tally.columns and not self._moved(status, key):
            stands = ChargeStatus.REFUSED
        if operation.is_case and own is None:
            own = reading.name_row("provider_reference")
        seq = self.first + reading.tally.rows
        return tuple.__new__(
            Charge,
            (
                provider or "", seq, key, operation, reference or "", minor, currency or "", "", stands,
                own or "", at, parent or "", "", misstated,
            ),
        )  # fmt: skip

    def _moved(self, status: str | float | None, key: str | float) -> bool:
        """Tell whether an operation of this status moved money; of one that is not declared that is taken."""
        word = self.statuses.get(status)
        if word is None:
            self.reading.add(FaultKind.WORD_UNDECLARED, key, f"has the status {show(status)}")
        elif word != _MOVED:
            self.reading.tally.skipped[word] += 1
            return False
        return True

    def _amount(self, value: str | float | None, currency: str, operation: Operation) -> tuple[int, str]:
        """Return a magnitude; a minus is right only where money goes back and the book writes it so."""
        minor, misstated = self.reading.read_amount(value, currency)
        if minor < 0:
            if self.reading.witness.sign is Sign.ABSOLUTE and operation.sign < 0:
                return -minor, ""
            return 0, str(value)
        return minor, misstated

    def _add_fee(self, row: Row, key: str | float | None) -> None:
        tally, currency = self.reading.tally, str(row[4] or "")
        minor, misstated = self.reading.read_amount(row[10], currency)
        if misstated:
            self.reading.add(FaultKind.AMOUNT_INVALID, key, f"has the fee {misstated}")
        tally.fees[str(row[0] or ""), currency] += minor
