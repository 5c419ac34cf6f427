"""A latency histogram over a window: cumulative counts by upper edge, in seconds."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from moneypath.capacity.counters import Series, Window, by_label, total


@dataclass(frozen=True, slots=True)
class Histogram:
    """`counts` maps each upper edge, `inf` included, to how many answers came within it."""

    counts: Mapping[float, float]

    @property
    def count(self) -> float:
        """Return how many answers there were."""
        return self.counts.get(math.inf, 0.0)

    def over(self, edge: float) -> float:
        """Return how many answers took longer than `edge`, which has to be one of the edges."""
        return max(0.0, self.count - self.counts[edge])

    def quantile(self, quantile: float) -> float | None:
        """Return the estimate that Prometheus' histogram_quantile gives; `inf` beyond the last edge.

        Linear within a bucket, so exact only at its edges. None without answers.
        """
        if self.count <= 0:
            return None
        rank = quantile * self.count
        lower, below = 0.0, 0.0
        for edge in sorted(self.counts):
            within = self.counts[edge]
            if within >= rank and within > below:
                if math.isinf(edge):
                    return math.inf
                return lower + (edge - lower) * (rank - below) / (within - below)
            lower, below = edge, max(below, within)
        return math.inf


def histogram(series: Iterable[Series], window: Window) -> Histogram | None:
    """Return the histogram of `_bucket` series over the window; None when there is no series."""
    counts: dict[float, float] = {}
    for edge, group in by_label(series, "le").items():
        counts[float(edge or "nan")] = total(group, window) or 0.0
    return Histogram(counts) if math.inf in counts else None
