"""Watch alerts and pages while a drill runs, and record each change."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from moneypath.drills.service import DrillPager
from moneypath.incidents.events import EventLog
from moneypath.incidents.paging import Page
from moneypath.incidents.timeline import Kind
from moneypath.prometheus import Prometheus

EVERY_SECONDS: Final = 0.2
UNPAGED_SEVERITY: Final = "none"


Labels = tuple[tuple[str, str], ...]


class AlertWatcher:
    """Tracks which alerts fire, from Prometheus' list and from pages, whichever comes first.

    A page carries the exact time since when its alert fires; the list shows when it no longer does. An alert
    of the list may lack labels of its page: Prometheus adds its external ones only to what it sends.
    """

    def __init__(self, prometheus: Prometheus, log: EventLog) -> None:
        self._prometheus, self._log = prometheus, log
        self._listed: set[Labels] = set()
        self._paged: set[Labels] = set()

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            self._note_list(await self._prometheus.alerts())
            await asyncio.sleep(EVERY_SECONDS)

    def note_page(self, labels: Mapping[str, str], since_mono: float) -> None:
        """Record an alert that a page reports before Prometheus' list does."""
        key = tuple(sorted(labels.items()))
        if not _is_among(key, self._listed | self._paged):
            self._paged.add(key)
            self._record(Kind.ALERT_FIRING, key, source="pager", at_mono=since_mono)

    def _note_list(self, alerts: Sequence[Mapping[str, Any]]) -> None:
        listed = {
            tuple(sorted(alert["labels"].items()))
            for alert in alerts
            if alert["state"] == "firing" and alert["labels"].get("severity") != UNPAGED_SEVERITY
        }
        told = {key for key in listed if any(_is_among(page, {key}) for page in self._paged)}
        for key in sorted(listed - self._listed - told):
            self._record(Kind.ALERT_FIRING, key)
        for key in sorted(self._listed - listed):
            self._record(Kind.ALERT_RESOLVED, key)
        self._paged = {page for page in self._paged if not _is_among(page, listed)}
        self._listed = listed

    def _record(
        self, kind: Kind, key: Labels, *, source: str = "prometheus", at_mono: float | None = None
    ) -> None:
        labels = dict(key)
        name = labels.pop("alertname")
        payload = {"alert": name, "severity": labels.get("severity", ""), "labels": labels}
        self._log.append(kind, name, payload, source=source, at_mono=at_mono)


def _is_among(paged: Labels, alerts: Collection[Labels]) -> bool:
    """Tell whether the alert of a page is one of `alerts`, which may lack some of its labels."""
    labels = set(paged)
    return any(labels.issuperset(one) for one in alerts)


class PageWatcher:
    """Follows the pager, records every page and hands new firing pages to the responders."""

    def __init__(self, pager: DrillPager, alerts: AlertWatcher, log: EventLog) -> None:
        self._pager, self._alerts, self._log = pager, alerts, log
        self._queues: dict[str, asyncio.Queue[Page]] = {}

    def queue(self, role: str) -> asyncio.Queue[Page]:
        """Return the queue that receives the firing pages of `role` from now on."""
        return self._queues.setdefault(role, asyncio.Queue(maxsize=1000))

    async def run(self, after: int) -> None:
        """Watch from page number `after` until cancelled."""
        while True:
            for page in await self._pager.pages_after(after):
                after = page.seq
                self._record(page)
                if page.status == "firing" and page.role in self._queues:
                    self._queues[page.role].put_nowait(page)

    def _record(self, page: Page) -> None:
        kind = Kind.PAGE_DELIVERED if page.status == "firing" else Kind.PAGE_RESOLVED
        for alert in page.alerts:
            if alert.status == "firing":
                self._alerts.note_page(alert.labels, self._log.mono_at(alert.starts_at))
            payload = {"alert": alert.name, "role": page.role, "page": page.seq, "labels": dict(alert.labels)}
            self._log.append(kind, alert.name, payload, source="pager", at_mono=self._log.mono_at(page.at))
