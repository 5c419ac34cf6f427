"""The content of a settlement report: the lines of its period with fees and exchanges, and the totals."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fractions import Fraction
from typing import Final

from acquirers.faults import Misstatement
from acquirers.money import EXPONENTS, LARGEST_MINOR
from acquirers.operations import Entry, Kind

_CURRENCIES: Final = tuple(EXPONENTS)


@dataclass(frozen=True, slots=True)
class Fees:
    """The merchant's fee per capture; all other operations are free."""

    basis_points: int
    fixed_minor: Mapping[str, int]

    def fee_minor(self, entry: Entry) -> int:
        """Return the fee in minor units: the fixed part plus the basis points, rounded half up."""
        if entry.kind is not Kind.CAPTURE:
            return 0
        return self.fixed_minor[entry.currency] + (entry.amount_minor * self.basis_points + 5000) // 10000


@dataclass(frozen=True, slots=True)
class Exchange:
    """The currency in which another one is settled, and its exchange rate in major units."""

    currency: str
    rate: Fraction

    def settled_minor(self, amount_minor: int, currency: str) -> int:
        """Convert minor units, rounded half up, to at least 1 and at most what a line can state."""
        exact = amount_minor * self.rate * Fraction(10) ** (EXPONENTS[self.currency] - EXPONENTS[currency])
        rounded = (2 * exact.numerator + exact.denominator) // (2 * exact.denominator)
        return min(max(rounded, 1), LARGEST_MINOR)


@dataclass(frozen=True, slots=True)
class Line:
    """One movement as the report states it; `id` is the acquirer's reference, `at` is in Unix seconds.

    `settled` is currency and minor units if the line is settled in another currency than its own.
    """

    key: str
    reference: str
    id: str
    kind: Kind
    amount_minor: int
    currency: str
    fee_minor: int
    at: float
    settled: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Totals:
    """The control totals of one currency."""

    lines: int
    captured_minor: int
    refunded_minor: int
    fees_minor: int
    charged_back_minor: int
    reversed_minor: int

    @property
    def has_chargebacks(self) -> bool:
        """Tell whether there were chargebacks or reversals."""
        return bool(self.charged_back_minor or self.reversed_minor)


@dataclass(frozen=True, slots=True)
class Period:
    """The time of a report, from `start` to before `end`. It must be published before `due`.

    All times are Unix seconds.
    """

    sequence: int
    seconds: int

    @property
    def start(self) -> int:
        """Return the first second of the period."""
        return self.sequence * self.seconds

    @property
    def end(self) -> int:
        """Return the first second after the period."""
        return self.start + self.seconds

    @property
    def due(self) -> int:
        """Return when a missing report is late."""
        return self.end + self.seconds


@dataclass(frozen=True, slots=True)
class Report:
    """A period and its lines in the order of the book."""

    period: Period
    lines: tuple[Line, ...]

    def totals(self) -> Iterator[tuple[str, Totals]]:
        """Yield each currency that has lines, with its totals; amounts of two currencies are never added."""
        for currency in _CURRENCIES:
            lines = [line for line in self.lines if line.currency == currency]
            if lines:
                sums = Counter[Kind]()
                for line in lines:
                    sums[line.kind] += line.amount_minor
                fees = sum(line.fee_minor for line in lines)
                cases = (sums[Kind.CHARGEBACK], sums[Kind.CHARGEBACK_REVERSAL])
                yield currency, Totals(len(lines), sums[Kind.CAPTURE], sums[Kind.REFUND], fees, *cases)


@dataclass(frozen=True, slots=True)
class Taken:
    """What a report takes, by currency: the fees, and what is owed more or less after its exchanges."""

    fees_minor: Mapping[str, int]
    exchanged_minor: Mapping[str, int]

    @classmethod
    def of(cls, report: Report) -> "Taken":
        """Add up the lines of a report."""
        fees, exchanged = Counter[str](), Counter[str]()
        for line in report.lines:
            fees[line.currency] += line.fee_minor
            if line.settled is not None:
                sign = 1 if line.kind in (Kind.CAPTURE, Kind.CHARGEBACK_REVERSAL) else -1
                exchanged[line.currency] -= sign * line.amount_minor
                exchanged[line.settled[0]] += sign * line.settled[1]
        return cls(_without_zeros(fees), _without_zeros(exchanged))


def _without_zeros(amounts: Mapping[str, int]) -> dict[str, int]:
    return {currency: minor for currency, minor in amounts.items() if minor}


def report_line(entry: Entry, fees: Fees) -> Line:
    """Return the correct line of an entry."""
    return Line(
        key=entry.key,
        reference=entry.reference,
        id=entry.provider_reference,
        kind=entry.kind,
        amount_minor=entry.amount_minor,
        currency=entry.currency,
        fee_minor=fees.fee_minor(entry),
        at=entry.at,
    )


def settle(line: Line, exchanges: Mapping[str, Exchange]) -> Line:
    """Return the line with its amount exchanged into the settlement currency; fees are not exchanged."""
    exchange = exchanges.get(line.currency)
    if exchange is None:
        return line
    minor = exchange.settled_minor(line.amount_minor, line.currency)
    return replace(line, settled=(exchange.currency, minor))


def misstate(line: Line, what: Misstatement) -> tuple[Line, ...]:
    """Return the lines that replace this line. The totals are computed from them, so the report is
    consistent.
    """
    match what:
        case Misstatement.AMOUNT:  # a tenth less; of the smallest amounts one more
            less = line.amount_minor // 10
            return (replace(line, amount_minor=line.amount_minor - less if less else line.amount_minor + 1),)
        case Misstatement.CURRENCY:  # the same digits of minor units in the next currency
            following = _CURRENCIES[(_CURRENCIES.index(line.currency) + 1) % len(_CURRENCIES)]
            return (replace(line, currency=following),)
        case Misstatement.FEE:  # a hundredth of the amount more, and one
            return (replace(line, fee_minor=line.fee_minor + line.amount_minor // 100 + 1),)
        case Misstatement.MISSING:
            return ()
        case Misstatement.DUPLICATE:
            return (line, line)


def write_instant(seconds: float) -> str:
    """Return Unix seconds as ISO 8601 in UTC, with milliseconds unless they are 0.

    Milliseconds are cut off and not rounded, so that no line lies after the end of its period.
    """
    milliseconds = math.floor(seconds * 1000)
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC).replace(tzinfo=None)
    return moment.isoformat(timespec="milliseconds" if milliseconds % 1000 else "seconds") + "Z"
