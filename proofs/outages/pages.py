"""Count the pages of an outage, by who got them and what for."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from moneypath.incidents.paging import Page, Pager

FIRING: Final = "firing"


@dataclass(slots=True)
class Delivered:
    """What the pager received since it was asked first: all pages, and what of it is still open."""

    pages: list[Page] = field(default_factory=list)
    _seq: int = 0
    _open: set[tuple[str, ...]] = field(default_factory=set)

    async def read(self, pager: Pager) -> None:
        """Read the new pages."""
        while found := await pager.pages_after(self._seq, wait_seconds=0):
            self._seq = found[-1].seq
            for page in found:
                self._take(page)

    def _take(self, page: Page) -> None:
        self.pages.append(page)
        for alert in page.alerts:
            key = (page.role, *(f"{name}={value}" for name, value in sorted(alert.labels.items())))
            if alert.status == FIRING:
                self._open.add(key)
            else:
                self._open.discard(key)

    def forget(self) -> None:
        """Begin to count anew; what is open stays so."""
        self.pages.clear()

    @property
    def all_resolved(self) -> bool:
        """Whether each role was told that what it was paged for is over."""
        return not self._open

    @property
    def open_alerts(self) -> frozenset[str]:
        """Return what is not over yet, as role and labels."""
        return frozenset(" ".join(each) for each in self._open)


@dataclass(frozen=True, slots=True)
class PageCount:
    """The deliveries of an outage.

    `by_role` counts those that say that something fires, `told_over` all others. `by_alert` has them by alert
    and role: a delivery that names two alerts counts for both. `alerts` is how many began to fire: one with
    other labels, or at another time, is another one.
    """

    by_role: Mapping[str, int]
    by_alert: Mapping[tuple[str, str], int]
    told_over: int
    alerts: int

    @property
    def total(self) -> int:
        """Return how often somebody was told that something fires."""
        return sum(self.by_role.values())

    @property
    def names(self) -> frozenset[str]:
        """Return the alerts that paged."""
        return frozenset(name for name, _ in self.by_alert)


def count_pages(pages: Iterable[Page]) -> PageCount:
    """Count deliveries, in any order."""
    by_role: Counter[str] = Counter()
    by_alert: Counter[tuple[str, str]] = Counter()
    begun: set[tuple[object, ...]] = set()
    told_over = 0
    for page in pages:
        if page.status != FIRING:
            told_over += 1
            continue
        by_role[page.role] += 1
        firing = [alert for alert in page.alerts if alert.status == FIRING]
        by_alert.update((name, page.role) for name in {alert.name for alert in firing})
        begun |= {(alert.starts_at, *sorted(alert.labels.items())) for alert in firing}
    return PageCount(dict(by_role), dict(by_alert), told_over, len(begun))
