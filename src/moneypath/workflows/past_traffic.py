"""Refuse a drill on a past that is not the drill's own traffic.

Alerts on a share of bad answers look back over hours. A busier past makes the same fault a smaller share and
so later, a quieter one makes it earlier: neither time is that of production.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Final, Protocol

from moneypath.alerting.history import longest_window_seconds, payments_selector
from moneypath.alerting.timing import Scale
from moneypath.capacity.counters import increase
from moneypath.errors import MoneypathError
from moneypath.path.model import MoneyPath
from moneypath.prometheus import Series

OFF_AT_MOST: Final = 0.1


class PastMismatch(MoneypathError):
    """A past whose traffic is not what the drill drives."""

    code = "past_mismatch"


class SampleSource(Protocol):
    """Reads raw samples; a Prometheus client does."""

    async def raw_samples(self, selector: str, start: float, end: float) -> tuple[Series, ...]: ...


async def require_matching_past(
    source: SampleSource, path: MoneyPath, *, scale: int, checkouts_per_second: int, now: float
) -> None:
    """Compare the traffic of the longest window before `now` (Unix seconds) with what a drill will drive.

    Without an objective on payments there is nothing to compare.
    Raises PastMismatch, and QueryFailed.
    """
    seconds = float(longest_window_seconds(path, Scale(scale)))
    selector = payments_selector(path)
    if selector is None:
        # No alert on a share of payments looks back.
        return
    past = past_rate(await source.raw_samples(selector, now - seconds, now), now - seconds)
    if abs(past - checkouts_per_second) > OFF_AT_MOST * checkouts_per_second:
        raise PastMismatch(
            f"The past of this stack has {past:.1f} payments a second, the drill drives "
            f"{checkouts_per_second}: its times would not be those of production.",
            hint="Start a stack for it: "
            f"moneypath stack up --scale {scale} --checkouts {checkouts_per_second}.",
        )


def past_rate(series: Sequence[Series], since: float) -> float:
    """Return the events a second from `since` until the last growth: what was filled in ends a little earlier
    than now.
    """
    until = max(
        (at for each in series for (_, before), (at, after) in pairwise(each.samples) if after > before),
        default=since,
    )
    grown = math.fsum(increase(each.samples, since, until) for each in series)
    return grown / (until - since) if until > since else 0.0
