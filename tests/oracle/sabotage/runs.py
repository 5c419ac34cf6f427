"""One run as everybody saw it: clients, ledger, providers, and the scrapes of an honest recorder."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from moneypath.oracle import Acknowledgement, Charge, ChargeStatus, Operation, Outcome, PostingLine
from moneypath.oracle.metric_expectations import RunRecords, Sender, expect_totals
from moneypath.oracle.metric_totals import ComparedTotal, Family, compare_totals
from moneypath.prometheus import Series
from moneypath.workflows.metric_reading import total_series

SINCE: Final = 1_000.0
UNTIL: Final = 1_070.0
SECONDS: Final = 60
PER_SECOND: Final = 10
SCRAPE_SECONDS: Final = 1.0
API: Final = "refpay-api"


@dataclass(frozen=True, slots=True)
class Recorded:
    """One increment of one counter."""

    at: float
    family: Family
    labels: tuple[tuple[str, str], ...]
    amount: float = 1.0
    process: str = API

    def label(self, name: str) -> str:
        """Return the value of a label, "" if it has none."""
        return dict(self.labels).get(name, "")

    def relabelled(self, **labels: str) -> "Recorded":
        """Return it under other values of its labels."""
        return replace(self, labels=tuple((dict(self.labels) | labels).items()))


Recorder = Callable[[Sequence[Recorded]], Iterable[Recorded]]


def fee_of(provider: str, currency: str, captured_minor: int) -> int:
    """Return the fee of the tests: ten minor units and one percent, in micro-units."""
    return (10 + captured_minor // 100) * 10_000


@dataclass(slots=True)
class Run:
    """Everything that was recorded of six hundred checkouts in a minute, and the canary's."""

    clients: list[Acknowledgement] = field(default_factory=list)
    canary: list[Acknowledgement] = field(default_factory=list)
    postings: list[PostingLine] = field(default_factory=list)
    charges: list[Charge] = field(default_factory=list)
    recorded: list[Recorded] = field(default_factory=list)
    received: dict[str, dict[str, int]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(int)))

    def __post_init__(self) -> None:
        for number in range(SECONDS * PER_SECOND):
            self._checkout(number, SINCE + 1 + number / PER_SECOND)
        for number in range(8):
            self._answer(self.canary, SINCE + 20, Operation.AUTHORIZE, f"canary-{number}", Outcome.SUCCEEDED)
            self._count(SINCE + 20, "authorize", "succeeded", "north", traffic="canary")
            self._attempt(SINCE + 20, "north", "authorize", "succeeded")

    def compare(
        self, recorder: Recorder = list, *, deaths: Sequence[float] = (), vanished: float = UNTIL
    ) -> tuple[ComparedTotal, ...]:
        """Return the comparison with what `recorder` makes of the increments.

        At each of `deaths` the process begins anew, half a second later; after `vanished` it has no series.
        """
        series = scrapes(tuple(recorder(self.recorded)), deaths, vanished)
        read = {family: [one for one in series if one[0] is family] for family in Family}
        seen = total_series(
            {family: [each for _, each in found] for family, found in read.items()}, SINCE, UNTIL
        )
        records = RunRecords(
            [Sender(self.clients), Sender(self.canary, "canary")],
            self.postings,
            self.charges,
            self.received,
            SCRAPE_SECONDS,
        )
        return compare_totals(expect_totals(records, fee_of, seen), seen, ended=len(deaths))

    def lies(
        self, recorder: Recorder = list, *, deaths: Sequence[float] = (), vanished: float = UNTIL
    ) -> list[str]:
        """Return each series and witness that do not agree."""
        rows = self.compare(recorder, deaths=deaths, vanished=vanished)
        return [f"{row.series} by {row.witness}" for row in rows if not row.equal]

    def _checkout(self, number: int, at: float) -> None:
        provider = ("north", "south")[number % 2]
        currency, amount = ("EUR", "USD")[number % 3 == 0], 1_000 + number
        reference = f"order-{number}"
        if number % 10 == 8:
            self._answer(self.clients, at, Operation.AUTHORIZE, reference, Outcome.DECLINED, amount, currency)
            self._count(at, "authorize", "declined", provider)
            self._attempt(at, provider, "authorize", "declined")
            return
        if number % 10 == 9:
            self._answer(self.clients, at, Operation.AUTHORIZE, reference, Outcome.FAILED, amount, currency)
            self._count(at, "authorize", "failed", provider)
            for _ in range(3):
                self._attempt(at, provider, "authorize", "failed")
            return
        for operation in (Operation.AUTHORIZE, Operation.CAPTURE):
            self._answer(self.clients, at, operation, reference, Outcome.SUCCEEDED, amount, currency)
            self._count(at, operation, "succeeded", provider)
            self._attempt(at, provider, operation, "succeeded")
        self._repeat(number)
        self._post(number, at, provider, currency, amount)

    def _repeat(self, number: int) -> None:
        """Repeat every twentieth request after its answer, as the load does."""
        if number % 20 == 0:
            self.clients.append(self.clients[-1]._replace(replayed=True))

    def _answer(
        self,
        log: list[Acknowledgement],
        at: float,
        operation: Operation,
        reference: str,
        outcome: Outcome,
        amount: int = 100,
        currency: str = "EUR",
    ) -> None:
        status = {Outcome.SUCCEEDED: 201, Outcome.DECLINED: 402, Outcome.FAILED: 502}[outcome]
        key = f"{reference}-{operation}"
        log.append(
            Acknowledgement(
                at, operation, key, reference, None, amount, currency, status, outcome, replayed=False
            )
        )

    def _count(
        self, at: float, operation: str, outcome: str, provider: str, *, traffic: str = "live"
    ) -> None:
        labels = {"operation": operation, "outcome": outcome, "provider": provider, "traffic": traffic}
        self.recorded.append(Recorded(at, Family.PAYMENTS, tuple(labels.items())))

    def _attempt(self, at: float, provider: str, operation: str, outcome: str) -> None:
        labels = {"operation": operation, "outcome": outcome, "provider": provider}
        self.received[provider][operation] += 1
        self.recorded.append(Recorded(at, Family.ATTEMPTS, tuple(labels.items())))

    def _post(self, number: int, at: float, provider: str, currency: str, amount: int) -> None:
        reference, key = f"order-{number}", f"key-{number}"
        line = PostingLine(
            f"entry-{number}", "posting", f"operation-{number}", provider, key, f"payment-{number}",
            reference, f"{reference}-capture", f"provider_receivable:{provider}", currency, amount, at,
        )  # fmt: skip
        owed = line._replace(account="merchant_payable:shop", amount_minor=-amount)
        self.postings += [line, owed]
        self.charges.append(
            Charge(
                provider, number + 1, key, Operation.CAPTURE, reference, amount, currency, "411111",
                ChargeStatus.CAPTURED, f"cap-{number}", at,
            )
        )  # fmt: skip
        money = (("provider", provider), ("currency", currency))
        fee = fee_of(provider, currency, amount)
        self.recorded.append(Recorded(at, Family.CAPTURED, money, amount))
        self.recorded.append(Recorded(at, Family.FEES, (("provider", provider),), fee))


def scrapes(
    recorded: Sequence[Recorded], deaths: Sequence[float], vanished: float
) -> list[tuple[Family, Series]]:
    """Return what one scrape a second sees; what a process counted since its last scrape dies with it."""
    instants = [SINCE + offset for offset in range(int(UNTIL - SINCE) + 1)]
    by_series: dict[tuple[Family, tuple[tuple[str, str], ...], str], list[Recorded]] = defaultdict(list)
    for one in recorded:
        by_series[one.family, one.labels, one.process].append(one)
    found = []
    for (family, labels, process), increments in by_series.items():
        samples = []
        for at in instants:
            born = max((death for death in deaths if death < at), default=SINCE)
            if at <= vanished:
                samples.append((at, sum(one.amount for one in increments if born < one.at <= at)))
        found.append((family, Series({**dict(labels), "instance": process}, samples)))
    return found
