"""Publish settlement reports, with their digests and with the faults that distort them."""

import asyncio
import hashlib
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from acquirers.bookkeeper import Bookkeeper
from acquirers.errors import ReportUnknown
from acquirers.faults import FaultKind, FaultRegistry, Lease, Operation, Subject
from acquirers.operations import Entry
from acquirers.settlement import Exchange, Fees, Line, Period, Report, Taken, misstate, report_line, settle

LISTED_MAX: Final = 200
_DIGESTS_MAX: Final = 4096
# A day of reports that are served every two seconds; an older request is forgotten, and counted.
_SERVED_MAX: Final = 50_000

Render = Callable[[Report], bytes]


@dataclass(frozen=True, slots=True)
class Published:
    """A listed report; `digest` is the SHA-256 of the body that is served now, in hexadecimal."""

    period: Period
    digest: str


@dataclass(frozen=True, slots=True)
class Served:
    """One report that was served, when in Unix seconds, and what it takes; None if it was cut off."""

    sequence: int
    at: float
    taken: Taken | None


@dataclass(frozen=True, slots=True)
class _RenderedReport:
    body: bytes
    hit_by: tuple[Lease, ...]
    taken: Taken | None

    def digest(self) -> str:
        return hashlib.sha256(self.body).hexdigest()


class Reports:
    """List and serve the closed reports of one acquirer.

    Reports are closed when they are requested, by one write to the book. Nothing is booked into a closed
    report, so its digest is stable until a fault begins or ends. The `hits` of a fault count the requests
    that got a distorted report, or fewer reports than were due.
    """

    def __init__(
        self,
        *,
        bookkeeper: Bookkeeper,
        faults: FaultRegistry,
        fees: Fees,
        exchanges: Mapping[str, Exchange],
        period_seconds: int,
    ) -> None:
        self._bookkeeper = bookkeeper
        self._faults = faults
        self._fees = fees
        self._exchanges = exchanges
        self._period_seconds = period_seconds
        # Keyed by report and active faults; least recently used first.
        self._digests: OrderedDict[tuple[int, tuple[str, ...]], str] = OrderedDict()
        self._rendering = asyncio.Lock()
        self._served: deque[Served] = deque(maxlen=_SERVED_MAX)
        self.forgotten = 0

    @property
    def served(self) -> tuple[Served, ...]:
        """Return the reports that were served lately, oldest first."""
        return tuple(self._served)

    async def published(self) -> range:
        """Close the due reports, unless they are withheld, and return the numbers of all closed reports."""
        numbers = self._bookkeeper.reports()
        if numbers.due > numbers.following:
            withheld = self._active(FaultKind.WITHHOLD)
            if withheld:
                withheld[0].hits += 1
            else:
                await self._bookkeeper.close_reports()
                numbers = self._bookkeeper.reports()
        return range(numbers.first, numbers.following)

    async def listing(self, after: int, limit: int, render: Render) -> list[Published]:
        """Return up to `limit` reports with a number above `after`, ascending."""
        published = await self.published()
        numbers = range(max(after + 1, published.start), published.stop)[:limit]
        async with self._rendering:
            leases = self._active(FaultKind.MISSTATE, FaultKind.TRUNCATE)
            faults = tuple(lease.id for lease in leases)
            missing = [number for number in numbers if (number, faults) not in self._digests]
            if missing:
                rendered = await asyncio.to_thread(self._digest, missing, leases, render)
                self._digests.update(((number, faults), digest) for number, digest in rendered.items())
            listed = [self._listed(number, faults) for number in numbers]
            while len(self._digests) > _DIGESTS_MAX:
                self._digests.popitem(last=False)
        return listed

    async def fetch(self, number: int, render: Render) -> bytes:
        """Return a report's body; raises ReportUnknown."""
        if number not in await self.published():
            raise ReportUnknown("no settlement report of this number is published")
        async with self._rendering:
            leases = self._active(FaultKind.MISSTATE, FaultKind.TRUNCATE)
            rendered = await asyncio.to_thread(self._fetch, number, leases, render)
        self.forgotten += len(self._served) == _SERVED_MAX
        self._served.append(Served(number, self._bookkeeper.now(), rendered.taken))
        for lease in rendered.hit_by:
            lease.hits += 1
        return rendered.body

    def _active(self, *kinds: FaultKind) -> list[Lease]:
        return [lease for lease in self._faults.active() if lease.fault.kind in kinds]

    def _listed(self, number: int, faults: tuple[str, ...]) -> Published:
        self._digests.move_to_end((number, faults))
        return Published(Period(number, self._period_seconds), self._digests[number, faults])

    def _digest(self, numbers: Iterable[int], leases: list[Lease], render: Render) -> dict[int, str]:
        return {
            number: self._render_report(number, entries, leases, render).digest()
            for number, entries in self._bookkeeper.moved(numbers)
        }

    def _fetch(self, number: int, leases: list[Lease], render: Render) -> _RenderedReport:
        ((_, entries),) = self._bookkeeper.moved([number])
        return self._render_report(number, entries, leases, render)

    def _render_report(
        self, number: int, entries: list[Entry], leases: list[Lease], render: Render
    ) -> _RenderedReport:
        lines: list[Line] = []
        hit_by: dict[str, Lease] = {}
        for entry in entries:
            line = report_line(entry, self._fees)
            lease = _misstating(entry, leases)
            if lease is None or lease.fault.what is None:
                lines.append(line)
            else:
                hit_by[lease.id] = lease
                lines += misstate(line, lease.fault.what)
        # After the misstatements, so that the stated amount is exchanged.
        settled = tuple(settle(line, self._exchanges) for line in lines)
        report = Report(Period(number, self._period_seconds), settled)
        body = render(report)
        taken: Taken | None = Taken.of(report)
        for lease in leases:
            if lease.fault.kind is FaultKind.TRUNCATE and lease.fault.draws(str(number)):
                hit_by[lease.id] = lease
                body, taken = body[: len(body) // 2], None
                break
        return _RenderedReport(body, tuple(hit_by.values()), taken)


def _misstating(entry: Entry, leases: list[Lease]) -> Lease | None:
    """Return the first fault that misstates the entry's line."""
    subject = Subject(Operation(entry.kind.value), entry.reference, entry.currency, entry.card_range)
    return next((one for one in leases if one.fault.what is not None and one.fault.hits(subject)), None)
