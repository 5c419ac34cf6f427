"""A latency histogram over a window: cumulative counts by upper edge, in seconds."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from moneypath.capacity.counters import Window, by_label, total
from moneypath.prometheus import Series


@dataclass(frozen=True, slots=True)
class Histogram:
    """`counts` maps each upper edge, `inf` included, to the number of answers within it."""

    counts: Mapping[float, float]

    @property
    def count(self) -> float:
        """Return the number of answers."""
        return self.counts.get(math.inf, 0.0)

    def over(self, edge: float) -> float:
        """Return the number of answers slower than `edge`, which has to be one of the edges."""
        return max(0.0, self.count - self.counts[edge])

    def quantile(self, quantile: float) -> float | None:
        """Return the estimate of Prometheus' histogram_quantile, `inf` beyond the last edge.

        It is linear within a bucket, so exact only at the edges. None without answers.
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
