"""Short windows of a build: when they are, and what each measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from moneypath.capacity.client import AUTHORIZE, ClientFigures, ClientRequest, quantile
from moneypath.capacity.counters import Window, total
from moneypath.capacity.permutation import WindowMeasures
from moneypath.capacity.resources import ResourceSample
from moneypath.prometheus import Series

# After the last request is due: until it is answered and every counter was scraped once more.
SETTLE_SECONDS: Final = 1.5
# The first requests of a turn wake up what has slept.
WAKE_SECONDS: Final = 0.5
LATENCY: Final = "latency_median"


@dataclass(frozen=True, slots=True)
class ShortWindow:
    """The turn of one build, in Unix seconds: requests are due until SETTLE_SECONDS before its end."""

    begin: float
    end: float

    @property
    def due(self) -> tuple[float, float]:
        """Return from and until when requests are due."""
        return self.begin, self.end - SETTLE_SECONDS


def plan_turns(
    begin: float, *, windows: int, seconds: float, alone: bool
) -> tuple[list[ShortWindow], list[ShortWindow]]:
    """Return the turns of the build and of its baseline: ABBA, so that what drifts meets both alike.

    A build that is measured `alone` has them one after the other.
    """
    build: list[ShortWindow] = []
    baseline: list[ShortWindow] = []
    for number in range(windows if alone else 2 * windows):
        turn = ShortWindow(begin + number * seconds, begin + (number + 1) * seconds)
        (build if alone or number % 4 in (0, 3) else baseline).append(turn)
    return build, baseline


@dataclass(frozen=True, slots=True)
class WindowEvidence:
    """Everything that was recorded of a build over all its turns; `cost` are the series of its cost."""

    requests: Sequence[ClientRequest]
    samples: Sequence[ResourceSample]
    cost: Sequence[Series]


def window_measures(evidence: WindowEvidence, turn: ShortWindow, tariff: float) -> WindowMeasures | None:
    """Return what one turn measured, each above 0; None when it cannot be told.

    `tariff` is what its captures cost at most by the declared fees. Memory and connections are not among the
    measures: a level stays from window to window, so that windows of one process are one sample of it.
    """
    begin, until = turn.due
    client = ClientFigures(evidence.requests, start=begin + WAKE_SECONDS, until=until, now=turn.end)
    samples = [each for each in evidence.samples if turn.begin <= each.at <= turn.end]
    spent = total(evidence.cost, Window(turn.begin, turn.end, turn.end))
    if len(samples) < 2 or not client.requests or tariff <= 0 or not spent:
        return None
    first, last = samples[0], samples[-1]
    checkouts = sum(
        each.operation == AUTHORIZE and first.at < each.due <= last.at for each in evidence.requests
    )
    if not checkouts:
        return None
    return {
        LATENCY: quantile(client.from_due, 0.5),
        "latency_p95": quantile(client.from_due, 0.95),
        "processor_time": (last.cpu_seconds - first.cpu_seconds) / checkouts,
        "bytes_written": (last.written_bytes - first.written_bytes) / checkouts,
        "cost": spent / tariff,
    }
