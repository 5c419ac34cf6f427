"""What the pager kept of a drill, against what the drill's log says: pages, acknowledgements, log heads."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from moneypath.errors import MoneypathError
from moneypath.incidents.events import GENESIS, Event
from moneypath.incidents.timeline import Kind

CLOCK_SECONDS: Final = 1.0
"""By how much durations on the pager's clock and on the log's may differ."""


class PagerRecordUnreadable(MoneypathError):
    """A pager's file that cannot be read."""

    code = "pager_record_unreadable"


@dataclass(frozen=True, slots=True)
class KeptPage:
    """One page as the pager kept it; `at` is Unix time."""

    at: float
    role: str
    alerts: frozenset[str]


@dataclass(frozen=True, slots=True)
class KeptAcknowledgement:
    """One acknowledgement as the pager kept it, with the log's head that came with it."""

    role: str
    principal: str
    log_seq: int | None
    log_hash: str | None


@dataclass(frozen=True, slots=True)
class PagerRecord:
    """All pages and acknowledgements of one pager, by the page's number."""

    pages: Mapping[int, KeptPage]
    acknowledgements: Mapping[int, KeptAcknowledgement]

    def divergences(self, events: Sequence[Event]) -> Iterator[str]:
        """Yield a sentence for each way in which a log says something else, in the log's order."""
        yield from self._page_divergences(events)
        for event in events:
            if event.kind == Kind.PAGE_ACKNOWLEDGED:
                yield from self._acknowledgement_divergences(event, events)

    def anchored_seq(self, events: Sequence[Event]) -> int:
        """Return the number of the last event that a kept head covers; 0 when none does."""
        numbers = {_page_number(event) for event in events if event.kind == Kind.PAGE_ACKNOWLEDGED}
        kept = (self.acknowledgements.get(number) for number in numbers)
        return max((one.log_seq for one in kept if one is not None and one.log_seq is not None), default=0)

    def _page_divergences(self, events: Sequence[Event]) -> Iterator[str]:
        logged = [event for event in events if event.kind in (Kind.PAGE_DELIVERED, Kind.PAGE_RESOLVED)]
        numbers = {_page_number(event) for event in logged} - {0}
        for number, page in sorted(self.pages.items()):
            if numbers and min(numbers) < number < max(numbers) and number not in numbers:
                yield f"page {number} to {page.role} was delivered, and the log leaves it out"
        yield from self._last_left_out(events, logged)
        first: tuple[float, float] | None = None
        for event in logged:
            number = _page_number(event)
            kept, role = self.pages.get(number), str(event.payload.get("role"))
            if kept is None or kept.role != role or str(event.payload.get("alert")) not in kept.alerts:
                yield f"event {event.seq}: the pager delivered no such page {number} to {role}"
                continue
            first = first or (event.ts_mono, kept.at)
            drift = (event.ts_mono - first[0]) - (kept.at - first[1])
            if abs(drift) > CLOCK_SECONDS:
                side = "earlier" if drift > 0 else "later"
                yield f"event {event.seq}: page {number} came {abs(drift):.1f} s {side} than the log says"

    def _last_left_out(self, events: Sequence[Event], logged: Sequence[Event]) -> Iterator[str]:
        """Yield each page after the last logged one that came while the drill still watched the pager.

        It watches until it has counted the objectives; without that, nobody can say how long it did.
        """
        known = [(event, page) for event in logged if (page := self.pages.get(_page_number(event)))]
        ends = [event.ts_mono for event in events if event.kind == Kind.OBJECTIVES_MEASURED]
        if not known or not ends:
            return
        (first, kept), last = known[0], max(_page_number(event) for event in logged)
        until = kept.at + ends[-1] - first.ts_mono - CLOCK_SECONDS
        for number, page in sorted(self.pages.items()):
            if number > last and page.at <= until:
                yield f"page {number} to {page.role} was delivered, and the log leaves it out"

    def _acknowledgement_divergences(self, event: Event, events: Sequence[Event]) -> Iterator[str]:
        number, principal = _page_number(event), event.actor.principal
        kept = self.acknowledgements.get(number)
        if kept is None:
            yield f"event {event.seq}: nobody acknowledged page {number}"
        elif (kept.role, kept.principal) != (event.actor.role, principal):
            yield f"event {event.seq}: page {number} was acknowledged by {kept.principal}, not by {principal}"
        elif kept.log_seq is not None:
            covered = events[kept.log_seq - 1].hash if 0 < kept.log_seq <= len(events) else GENESIS
            if covered != kept.log_hash:
                yield f"event {event.seq}: the pager was told of another log up to event {kept.log_seq}"


def read_pager_record(file: Path) -> PagerRecord:
    """Read the pager's file; raises PagerRecordUnreadable with the line."""
    pages: dict[int, KeptPage] = {}
    acknowledgements: dict[int, KeptAcknowledgement] = {}
    number = 0
    try:
        with file.open(encoding="utf-8") as lines:
            for line in lines:
                number += 1
                record = json.loads(line)
                if "page" in record:
                    pages[int(record["page"]["seq"])] = _page(record["page"])
                else:
                    made = record["acknowledgement"]
                    acknowledgements[int(made["seq"])] = _acknowledgement(made)
    except OSError as error:
        raise PagerRecordUnreadable(f"pager's file cannot be read: {file} ({error.strerror})") from None
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise PagerRecordUnreadable(
            f"pager's file is not as the pager writes it: {file.name}:{number}: {type(error).__name__}",
            hint="Name the pages.jsonl of the pager that the drill used.",
        ) from None
    return PagerRecord(pages, acknowledgements)


def _page(fields: Mapping[str, Any]) -> KeptPage:
    alerts = frozenset(str(alert["name"]) for alert in fields["alerts"])
    return KeptPage(float(fields["at"]), str(fields["role"]), alerts)


def _acknowledgement(fields: Mapping[str, Any]) -> KeptAcknowledgement:
    seq, digest = fields.get("log_seq"), fields.get("log_hash")
    return KeptAcknowledgement(
        str(fields["role"]),
        str(fields["principal"]),
        None if seq is None else int(seq),
        None if digest is None else str(digest),
    )


def _page_number(event: Event) -> int:
    """Return the number of the page that an event is about; 0 if it names none."""
    number = event.payload.get("page")
    return number if type(number) is int else 0
