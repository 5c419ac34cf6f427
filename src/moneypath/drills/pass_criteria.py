"""The pass criteria of a drill, read from the event log alone: each sentence is a reason to fail it."""

from collections.abc import Mapping, Sequence
from typing import Any

from moneypath.drills import business, second_person
from moneypath.drills.scenario import ExpectedAlert, ExpectedPage, Scenario
from moneypath.incidents.events import Event
from moneypath.incidents.timeline import Kind, measure
from moneypath.path.durations import format_duration
from moneypath.runbooks.record import Outcome, Status

MAX_SHOWN = 5


def ledger_failures(events: Sequence[Event]) -> tuple[str, ...]:
    """Return why the ledger is not known to be whole; these reasons make the score 0."""
    truths = [event for event in events if event.kind == Kind.LEDGER_TRUTH]
    if not truths:
        return ("the ledger was never audited",)
    last = truths[-1].payload
    if last.get("whole") is True:
        return ()
    found = [str(text) for text in last.get("discrepancies", ())] or ["no reason recorded"]
    return (f"the ledger is not whole: {'; '.join(found[:MAX_SHOWN])}",)


def unmet_criteria(scenario: Scenario, events: Sequence[Event]) -> tuple[str, ...]:
    """Return every other reason to fail: deviations, alerts, pages, the runbook, harm, the undo."""
    found = _deviations(events)
    if not _steady_state_held(events, "before"):
        found.append("steady state was not established before the fault")
    effective = next((event for event in events if event.kind == Kind.FAULT_EFFECTIVE), None)
    if effective is None:
        return (*found, "the fault never took effect")
    since = _EventsSinceFault(events, effective.ts_mono, scenario.clock.scale)
    for alert in scenario.expect.alerts:
        found += since.alert_failures(alert)
    fired = {event.payload.get("alert") for event in events if event.kind == Kind.ALERT_FIRING}
    found += [f"alert {name} fired and must not" for name in scenario.expect.no_alerts if name in fired]
    names = {alert.name for alert in scenario.expect.alerts}
    for page in scenario.expect.pages:
        found += since.page_failures(page, names)
    found += _runbook_failures(events)
    found += second_person.failures(scenario, events)
    if measure(events, relevant_alerts=()).mitigate is None:
        found.append("customer harm was not seen to end")
    if not _steady_state_held(events, "after"):
        found.append("steady state did not return after the undo")
    undone = [event for event in events if event.kind == Kind.UNDO]
    if not undone or not all(event.payload.get("ok") is True for event in undone):
        found.append("the undo did not run to its end")
    found += business.failures(events)
    return tuple(found)


class _EventsSinceFault:
    """The events since the fault took effect; durations are production time."""

    def __init__(self, events: Sequence[Event], t0: float, scale: int) -> None:
        self._events = [event for event in events if event.ts_mono >= t0]
        self._t0, self._scale = t0, scale

    def alert_failures(self, expected: ExpectedAlert) -> list[str]:
        """Return what is wrong with one expected alert."""
        name = expected.name
        first = self._first(Kind.ALERT_FIRING, {"alert": name}, labels=expected.labels)
        if first is None:
            return [f"alert {name} did not fire"]
        found = self._late(f"alert {name} fired", first, self._t0, expected.within)
        if first.payload.get("severity") != expected.severity:
            found.append(
                f"alert {name} fired as {first.payload.get('severity')}, expected {expected.severity}"
            )
        resolved = self._first(Kind.ALERT_RESOLVED, {"alert": name}, labels=expected.labels)
        if resolved is None or resolved.ts_mono < first.ts_mono:
            found.append(f"alert {name} did not resolve after the repair")
        return found

    def page_failures(self, expected: ExpectedPage, alerts: set[str]) -> list[str]:
        """Return what is wrong with the page to one role, and with its acknowledgement."""
        role = expected.role
        pages = (self._first(Kind.PAGE_DELIVERED, {"role": role, "alert": name}) for name in sorted(alerts))
        first = min((page for page in pages if page), key=lambda event: event.ts_mono, default=None)
        if first is None:
            return [f"role {role} was not paged"]
        found = self._late(f"role {role} was paged", first, self._t0, expected.within)
        acknowledged = self._first(Kind.PAGE_ACKNOWLEDGED, {"role": role})
        if acknowledged is None:
            return [*found, f"role {role} did not acknowledge"]
        return [*found, *self._late(f"role {role} acknowledged", acknowledged, first.ts_mono, expected.ack)]

    def _first(
        self, kind: Kind, payload: Mapping[str, Any], *, labels: Mapping[str, str] | None = None
    ) -> Event | None:
        matching = (
            event
            for event in self._events
            if event.kind == kind
            and payload.items() <= event.payload.items()
            and (labels or {}).items() <= dict(event.payload.get("labels", {})).items()
        )
        return min(matching, key=lambda event: event.ts_mono, default=None)

    def _late(self, what: str, event: Event, since: float, allowed: float) -> list[str]:
        took = (event.ts_mono - since) * self._scale
        if took <= allowed:
            return []
        return [f"{what} after {format_duration(took)}, allowed {format_duration(allowed)}"]


def _deviations(events: Sequence[Event]) -> list[str]:
    titles = {
        Kind.STEADY_STATE_BROKEN: "steady state broken",
        Kind.FAULT_INEFFECTIVE: "fault without effect",
        Kind.GUARDRAIL_HIT: "guardrail hit",
    }
    return [
        f"{titles[Kind(event.kind)]}: {event.payload.get('reason') or event.subject}"
        for event in events
        if event.kind in titles
    ]


def _steady_state_held(events: Sequence[Event], phase: str) -> bool:
    return any(event.kind == Kind.STEADY_STATE and event.payload.get("phase") == phase for event in events)


def _runbook_failures(events: Sequence[Event]) -> list[str]:
    ended = [event for event in events if event.kind == Kind.RUNBOOK_ENDED]
    if not ended:
        return ["the runbook was not followed to any end"]
    last = ended[-1].payload
    if last.get("status") == Status.COMPLETED:
        return []
    return [f"the runbook {last.get('status')}: {last.get('reason')}"]


def steps_satisfied(events: Sequence[Event]) -> float:
    """Return the share of the executed steps whose last outcome was satisfied; 0 when none ran."""
    last = {
        event.subject: event.payload.get("outcome") for event in events if event.kind == Kind.RUNBOOK_STEP
    }
    satisfied = sum(outcome == Outcome.SATISFIED for outcome in last.values())
    return satisfied / len(last) if last else 0.0
