"""Say what the metrics have to show after a run, from the clients' answers, the ledger and the providers."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from moneypath.oracle.counted_answers import CountedAnswer, Result, count_answers
from moneypath.oracle.metric_totals import ExpectedTotal, Family, SeenTotals, Witness, most_within
from moneypath.oracle.records import Acknowledgement, Charge, Operation, Outcome, PostingLine

LIVE: Final = "live"
_CAPTURES: Final = ("posting", "capture")
_SETTLED: Final = (Outcome.SUCCEEDED, Outcome.DECLINED, Outcome.FAILED)

FeeOf = Callable[[str, str, int], int]
"""Provider, currency and captured minor units; returns the fee in micro-units of the reporting currency."""


@dataclass(frozen=True, slots=True)
class Sender:
    """One sender's answers in the order in which they came, and the value of the label `traffic` of its
    requests.
    """

    acknowledgements: Sequence[Acknowledgement]
    traffic: str = LIVE


@dataclass(frozen=True, slots=True)
class RunRecords:
    """What clients, ledger and providers recorded of one run, and nothing else.

    `received` counts the requests that reached each provider, by operation; None for a provider that was
    started anew meanwhile.
    """

    senders: Sequence[Sender]
    postings: Sequence[PostingLine]
    charges: Sequence[Charge]
    received: Mapping[str, Mapping[str, int] | None]
    scrape_seconds: float


@dataclass(frozen=True, slots=True)
class _Capture:
    provider: str
    key: str
    currency: str
    amount_minor: int
    at: float


def payments_series(traffic: str, operation: str, result: str) -> str:
    """Return the name of the payments of one kind of traffic, by operation and result."""
    return f"{Family.PAYMENTS} {traffic} {operation} {result}"


def captured_series(currency: str) -> str:
    """Return the name of the money captured in a currency, in minor units."""
    return f"{Family.CAPTURED} {currency}"


def fees_series(provider: str) -> str:
    """Return the name of a provider's fees, in micro-units of the reporting currency."""
    return f"{Family.FEES} {provider}"


def attempts_series(provider: str, operation: str) -> str:
    """Return the name of the requests sent to a provider for an operation."""
    return f"{Family.ATTEMPTS} {provider} {operation}"


def expect_totals(records: RunRecords, fee_of: FeeOf, seen: SeenTotals) -> Iterator[ExpectedTotal]:
    """Yield what each witness expects of each series.

    Of `seen` only the attempts without an answer are read: whether those reached the provider, nobody knows.
    """
    counted = tuple(_count(records.senders))
    captures = tuple(_captures(records.postings))
    seconds = records.scrape_seconds
    yield from _payments(counted, captures, seconds)
    yield from _captured(records, captures)
    fees = ((fees_series(one.provider), one.at, _fee(one, fee_of)) for one in captures)
    yield from _exactly(Witness.LEDGER, fees, seconds)
    yield from _attempts(records, [one.at for _, one in counted], seen)


def _count(senders: Iterable[Sender]) -> Iterator[tuple[str, CountedAnswer]]:
    for sender in senders:
        by_key: dict[tuple[Operation, str], list[Acknowledgement]] = defaultdict(list)
        for answer in sender.acknowledgements:
            by_key[answer.operation, answer.idempotency_key].append(answer)
        for answers in by_key.values():
            for one in count_answers(answers):
                if one.result is Result.TURNED_AWAY and sender.traffic != LIVE:
                    # Turned away before the service knew whose traffic it is: then it counts as live.
                    perhaps = CountedAnswer(one.operation, one.result, 0, one.at)
                    yield sender.traffic, perhaps
                    yield LIVE, perhaps
                else:
                    yield sender.traffic, one


def _payments(
    counted: Iterable[tuple[str, CountedAnswer]], captures: Sequence[_Capture], seconds: float
) -> Iterator[ExpectedTotal]:
    series: dict[str, list[CountedAnswer]] = defaultdict(list)
    for traffic, one in counted:
        series[payments_series(traffic, one.operation, one.result)].append(one)
    for name in sorted(series):
        of_name = series[name]
        burst = most_within([(one.at, 1) for one in of_name], seconds)
        least = sum(one.least for one in of_name)
        yield ExpectedTotal(name, Witness.CLIENTS, least, len(of_name), burst)
    # The ledger has one entry for each capture; those resolved later were counted as indeterminate.
    later = sum(
        len(series.get(payments_series(LIVE, Operation.CAPTURE, result), ()))
        for result in (Result.INDETERMINATE, Result.FAILED)
    )
    burst = most_within([(one.at, 1) for one in captures], seconds)
    name = payments_series(LIVE, Operation.CAPTURE, Result.SUCCEEDED)
    yield ExpectedTotal(name, Witness.LEDGER, max(0, len(captures) - later), len(captures), burst)


def _captures(postings: Iterable[PostingLine]) -> Iterator[_Capture]:
    for line in postings:
        if line.entry_kind in _CAPTURES and line.account == f"provider_receivable:{line.provider}":
            yield _Capture(line.provider, line.provider_key, line.currency, line.amount_minor, line.posted_at)


def _captured(records: RunRecords, captures: Sequence[_Capture]) -> Iterator[ExpectedTotal]:
    """Yield the captured money by ledger, providers and clients."""
    seconds = records.scrape_seconds
    posted = ((captured_series(one.currency), one.at, one.amount_minor) for one in captures)
    yield from _exactly(Witness.LEDGER, posted, seconds)
    keys = {(one.provider, one.key) for one in captures}
    # A provider that charged one key twice was paid once by us.
    booked = {
        (charge.provider, charge.key): charge
        for charge in records.charges
        if charge.operation is Operation.CAPTURE and charge.effective
    }
    at_providers = (
        (charge.currency, charge.amount_minor, which in keys, charge.at) for which, charge in booked.items()
    )
    yield from _ranges(Witness.PROVIDERS, at_providers, seconds)
    yield from _ranges(Witness.CLIENTS, _acknowledged(records.senders), seconds)


def _acknowledged(senders: Iterable[Sender]) -> Iterator[tuple[str, int, bool, float]]:
    """Yield currency, minor units, whether it is certain, and instant of each capture that may have been."""
    by_key: dict[tuple[int, str], list[Acknowledgement]] = defaultdict(list)
    for number, sender in enumerate(senders):
        for answer in sender.acknowledgements:
            if answer.operation is Operation.CAPTURE:
                by_key[number, answer.idempotency_key].append(answer)
    for answers in by_key.values():
        settled = [answer for answer in answers if answer.outcome in _SETTLED]
        last = settled[0] if settled else answers[-1]
        if not settled and all(answer.outcome is Outcome.REJECTED for answer in answers):
            continue
        if not settled or last.outcome is Outcome.SUCCEEDED:
            yield last.currency, last.amount_minor, bool(settled), last.at


def _ranges(
    witness: Witness, captures: Iterable[tuple[str, int, bool, float]], seconds: float
) -> Iterator[ExpectedTotal]:
    least: Counter[str] = Counter()
    most: Counter[str] = Counter()
    moments: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for currency, minor, certain, at in captures:
        most[currency] += minor
        least[currency] += minor if certain else 0
        moments[currency].append((at, minor))
    for currency in sorted(most):
        burst = most_within(moments[currency], seconds)
        yield ExpectedTotal(captured_series(currency), witness, least[currency], most[currency], burst)


def _exactly(
    witness: Witness, amounts: Iterable[tuple[str, float, int]], seconds: float
) -> Iterator[ExpectedTotal]:
    moments: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for name, at, amount in amounts:
        moments[name].append((at, amount))
    for name in sorted(moments):
        total = sum(amount for _, amount in moments[name])
        yield ExpectedTotal(name, witness, total, total, most_within(moments[name], seconds))


def _fee(capture: _Capture, fee_of: FeeOf) -> int:
    return fee_of(capture.provider, capture.currency, capture.amount_minor)


def _attempts(records: RunRecords, answered: Sequence[float], seen: SeenTotals) -> Iterator[ExpectedTotal]:
    """Yield the requests that reached each provider; attempts without an answer may not have."""
    busiest = most_within([(at, 1) for at in answered], records.scrape_seconds)
    for provider, operations in sorted(records.received.items()):
        if operations is None:
            counted = sorted(name for name in seen.totals if name.startswith(attempts_series(provider, "")))
            yield from (ExpectedTotal(name, Witness.PROVIDERS, 0, None) for name in counted)
            continue
        for operation, received in sorted(operations.items()):
            name = attempts_series(provider, operation)
            most = received + round(seen.unanswered.get(name, 0.0))
            # As busy as the clients were, and as often as a request of theirs was repeated.
            burst = -(-received * busiest // max(1, len(answered)))
            yield ExpectedTotal(name, Witness.PROVIDERS, received, most, burst)
