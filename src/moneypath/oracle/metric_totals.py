"""Compare what the metrics counted over one run with what clients, ledger and providers say. Pure.

Nothing may be missing or too much. The one tolerance is for processes that died during the run: what a
process counted after its last scrape is lost with it, at most what can happen within one scrape interval.
Without a death the tolerance is zero, and so it is for one of which the metrics alone tell.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class Witness(StrEnum):
    """Who says how much a metric has to show."""

    CLIENTS = "clients"
    LEDGER = "ledger"
    PROVIDERS = "providers"


class Family(StrEnum):
    """What is compared; the first word in the name of each of its series."""

    PAYMENTS = "payments"
    CAPTURED = "captured"
    FEES = "fees"
    ATTEMPTS = "attempts"


@dataclass(frozen=True, slots=True)
class ExpectedTotal:
    """How much a witness says that a series grew over the run.

    `most` is None when nobody knows an upper limit. `burst` is the most that happened within one scrape
    interval, which is what one death of a process can lose.
    """

    series: str
    witness: Witness
    least: int
    most: int | None
    burst: int = 0


@dataclass(frozen=True, slots=True)
class SeenTotals:
    """How much each series grew over the run, and how many processes that counted died in it.

    A family that is missing in `families` has no series at all, so nothing is known of it. `unanswered` are
    the attempts, by the name of their series, of which it is not said that the provider got them.
    """

    totals: Mapping[str, float]
    families: frozenset[str]
    unanswered: Mapping[str, float] = field(default_factory=dict)
    deaths: int = 0

    def of(self, series: str) -> float | None:
        """Return the growth of a series; 0 when others of its family exist, None when nothing is known."""
        return self.totals.get(series, 0.0) if family_of(series) in self.families else None


@dataclass(frozen=True, slots=True)
class ComparedTotal:
    """One series against one witness."""

    series: str
    witness: str
    least: int
    most: int | None
    seen: float | None
    lost_at_most: int = 0

    @property
    def equal(self) -> bool:
        """Whether the metric shows what the witness says."""
        if self.seen is None:
            return False
        if self.seen < self.least - self.lost_at_most:
            return False
        return self.most is None or self.seen <= self.most

    def describe(self) -> str:
        """Return what is wrong in one sentence: the series, who expects what, and what was counted."""
        most = "more" if self.most is None else f"{self.most}"
        expected = f"{self.least}" if self.least == self.most else f"{self.least} to {most}"
        lost = f" ({self.lost_at_most} may be lost with processes that died)" if self.lost_at_most else ""
        seen = "no series at all" if self.seen is None else f"{self.seen:.16g} counted"
        return f"{self.series}: {seen}, expected {expected} by {self.witness}{lost}"


def compare_totals(
    expected: Iterable[ExpectedTotal], seen: SeenTotals, *, ended: int
) -> tuple[ComparedTotal, ...]:
    """Hold every series against every witness of it.

    A series that grew and that no witness knows was counted for nobody: it is expected to be 0. `ended` is
    how many processes others saw end during the run; more deaths than these excuse nothing.
    """
    deaths = min(seen.deaths, ended)
    known = tuple(expected)
    named = {each.series for each in known}
    strange = sorted(name for name, total in seen.totals.items() if total and name not in named)
    rows = [*known, *(ExpectedTotal(name, _witness_of(name), 0, 0) for name in strange)]
    return tuple(
        ComparedTotal(
            each.series,
            each.witness.value,
            each.least,
            each.most,
            seen.of(each.series),
            lost_at_most=deaths * each.burst,
        )
        for each in rows
    )


def family_of(series: str) -> str:
    """Return the family that the name of a series begins with."""
    return series.partition(" ")[0]


def most_within(moments: Sequence[tuple[float, int]], seconds: float) -> int:
    """Return the largest sum of weights within any `seconds`; `moments` are instants with their weights."""
    ordered = sorted(moments)
    instants = [at for at, _ in ordered]
    sums = [0]
    for _, weight in ordered:
        sums.append(sums[-1] + weight)
    ends = (bisect_right(instants, at + seconds) for at in instants)
    return max((sums[end] - sums[begin] for begin, end in enumerate(ends)), default=0)


def _witness_of(series: str) -> Witness:
    family = family_of(series)
    if family == Family.PAYMENTS:
        return Witness.CLIENTS
    return Witness.PROVIDERS if family == Family.ATTEMPTS else Witness.LEDGER
