"""Compute the five times of an incident from its events."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from moneypath.incidents.events import Event


class Kind(StrEnum):
    """Every kind of event that a drill or an incident may record."""

    DRILL_STARTED = "drill.started"
    STEADY_STATE = "steady_state.held"
    STEADY_STATE_BROKEN = "steady_state.broken"
    FAULT_COMMANDED = "fault.commanded"
    FAULT_EFFECTIVE = "fault.effective"
    FAULT_INEFFECTIVE = "fault.ineffective"
    FAULT_ENDED = "fault.ended"
    ALERT_FIRING = "alert.firing"
    ALERT_RESOLVED = "alert.resolved"
    PAGE_DELIVERED = "page.delivered"
    PAGE_RESOLVED = "page.resolved"
    PAGE_ACKNOWLEDGED = "page.acknowledged"
    RUNBOOK_STARTED = "runbook.started"
    RUNBOOK_STEP = "runbook.step"
    RUNBOOK_ENDED = "runbook.ended"
    APPROVED = "approval.given"
    HARM_STARTED = "harm.started"
    HARM_ENDED = "harm.ended"
    HARM_STAYED_ENDED = "harm.stayed_ended"
    HARM_UNKNOWN = "harm.unknown"
    OBJECTIVES_MEASURED = "objectives.measured"
    PROMISE_CHECKED = "promise.checked"
    MEASURED = "measured"
    GUARDRAIL_HIT = "guardrail.hit"
    UNDO = "undo"
    LOAD_DRAINED = "load.drained"
    LEDGER_TRUTH = "ledger.truth"
    METRICS_COMPARED = "metrics.compared"
    DRILL_ENDED = "drill.ended"


@dataclass(frozen=True, slots=True)
class IncidentTimes:
    """Durations in seconds of the clock they were measured on; None means that it never happened.

    t0 is when the fault took effect. detect: t0 to the first relevant alert. page: that alert to the first
    delivered page. acknowledge: page to the first acknowledgement by a paged role. mitigate: t0 to harm
    below its threshold. restore: t0 to a whole ledger in steady state.
    """

    detect: float | None
    page: float | None
    acknowledge: float | None
    mitigate: float | None
    restore: float | None
    fault_to_page: float | None


def measure(events: Sequence[Event], *, relevant_alerts: Iterable[str]) -> IncidentTimes:
    """Compute the times; events may be in any order, and only `relevant_alerts` count as detection."""
    relevant = frozenset(relevant_alerts)
    effective = _first(events, Kind.FAULT_EFFECTIVE)
    if effective is None:
        return IncidentTimes(None, None, None, None, None, None)
    t0 = effective.ts_mono
    after = [event for event in events if event.ts_mono >= t0]
    firing = _first([e for e in after if e.payload.get("alert") in relevant], Kind.ALERT_FIRING)
    page = _first([e for e in after if e.payload.get("alert") in relevant], Kind.PAGE_DELIVERED)
    acknowledged = _first([e for e in after if page and e.ts_mono >= page.ts_mono], Kind.PAGE_ACKNOWLEDGED)
    return IncidentTimes(
        detect=_between(effective, firing),
        page=_between(firing, page),
        acknowledge=_between(page, acknowledged),
        mitigate=_between(effective, _harm_over(events)),
        restore=_between(effective, _restored(after)),
        fault_to_page=_between(effective, page),
    )


def _first(events: Iterable[Event], *kinds: Kind) -> Event | None:
    return min((e for e in events if e.kind in kinds), key=lambda e: e.ts_mono, default=None)


def _last(events: Iterable[Event], kind: Kind) -> Event | None:
    return max((e for e in events if e.kind == kind), key=lambda e: (e.ts_mono, e.seq), default=None)


def _harm_over(events: Sequence[Event]) -> Event | None:
    """Return the last end of harm that did not start again.

    Customers may be harmed before a canary is, so harm counts from the command of the fault.
    """
    commanded = _first(events, Kind.FAULT_COMMANDED, Kind.FAULT_EFFECTIVE)
    if commanded is None:
        return None
    since = [event for event in events if event.ts_mono >= commanded.ts_mono]
    ended, started = _last(since, Kind.HARM_ENDED), _last(since, Kind.HARM_STARTED)
    if ended is None or started is None or started.ts_mono > ended.ts_mono:
        return None
    return ended


def _restored(events: Sequence[Event]) -> Event | None:
    """Return the later of two events: steady state holds again, and the ledger was found whole."""
    steady = _last([e for e in events if e.payload.get("phase") == "after"], Kind.STEADY_STATE)
    truth = _last(events, Kind.LEDGER_TRUTH)
    if steady is None or truth is None or not truth.payload.get("whole"):
        return None
    return max(steady, truth, key=lambda e: e.ts_mono)


def _between(start: Event | None, end: Event | None) -> float | None:
    if start is None or end is None:
        return None
    return max(0.0, end.ts_mono - start.ts_mono)
