"""Judge from the event log whether the right alerts fired, and paged the right people and nobody else."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from moneypath.alerting.conventions import Severity
from moneypath.drills.expected import Expect, ExpectedAlert, ExpectedPage
from moneypath.drills.scenario import Scenario
from moneypath.incidents.events import Event
from moneypath.incidents.timeline import Kind
from moneypath.path.durations import format_duration


def paging_failures(
    scenario: Scenario, events: Sequence[Event], t0: float, *, labelled: bool = True
) -> Iterator[str]:
    """Yield what is wrong with alerts and pages; `t0` is when the fault took effect.

    `labelled`: a page has to have the labels of an expected alert, and not its name alone.
    """
    expect = scenario.expect
    since = _EventsSinceFault(events, t0, scenario.clock.scale)
    for alert in expect.alerts:
        yield from since.alert_failures(alert)
    for page in expect.pages:
        about = [alert.labels for alert in expect.alerts if alert.name == page.alert] if labelled else [{}]
        yield from since.page_failures(page, about)
    fired = [event for event in events if event.kind == Kind.ALERT_FIRING]
    names = {event.payload.get("alert") for event in fired}
    yield from (f"alert {name} fired and must not" for name in expect.no_alerts if name in names)
    yield from dict.fromkeys(_unexpected(expect, fired))
    yield from dict.fromkeys(_woken(expect, events))


def _unexpected(expect: Expect, fired: Iterable[Event]) -> Iterator[str]:
    """Yield each critical alert that is neither expected nor allowed; `no_alerts` have a sentence already."""
    for event in fired:
        name, labels = str(event.payload.get("alert")), _labels(event)
        if event.payload.get("severity") != Severity.CRITICAL or name in expect.no_alerts:
            continue
        if any(one.name == name and one.labels.items() <= labels.items() for one in expect.known_alerts):
            continue
        about = ", ".join(f"{key} {labels[key]}" for key in ("provider", "class", "job") if key in labels)
        yield f"critical alert {name}{f' ({about})' if about else ''} fired and is not expected"


def _woken(expect: Expect, events: Sequence[Event]) -> Iterator[str]:
    """Yield each page to a role that should have slept."""
    awake = {(page.alert, page.role) for page in expect.pages}
    awake |= {(alert.name, role) for alert in expect.allowed_alerts for role in alert.pages}
    for event in events:
        if event.kind == Kind.PAGE_DELIVERED:
            alert, role = str(event.payload.get("alert")), str(event.payload.get("role"))
            if (alert, role) not in awake:
                yield f"role {role} was paged by {alert} and should have slept"


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

    def page_failures(self, expected: ExpectedPage, about: Sequence[Mapping[str, str]]) -> list[str]:
        """Return what is wrong with the page of one alert to one role, and with its acknowledgement.

        `about` are the labels of which it has to have one set.
        """
        which = {"alert": expected.alert, "role": expected.role}
        paged = f"role {expected.role} was paged by {expected.alert}"
        pages = [self._first(Kind.PAGE_DELIVERED, which, labels=labels) for labels in about]
        first = min((page for page in pages if page), key=lambda event: event.ts_mono, default=None)
        if first is None:
            return [f"role {expected.role} was not paged by {expected.alert}"]
        found = self._late(paged, first, self._t0, expected.within)
        acknowledged = self._first(Kind.PAGE_ACKNOWLEDGED, which, by=expected.role)
        if acknowledged is None or acknowledged.ts_mono < first.ts_mono:
            return [*found, f"role {expected.role} did not acknowledge {expected.alert}"]
        late = f"role {expected.role} acknowledged {expected.alert}"
        return [*found, *self._late(late, acknowledged, first.ts_mono, expected.ack)]

    def _first(
        self,
        kind: Kind,
        payload: Mapping[str, Any],
        *,
        labels: Mapping[str, str] | None = None,
        by: str | None = None,
    ) -> Event | None:
        matching = (
            event
            for event in self._events
            if event.kind == kind
            and payload.items() <= event.payload.items()
            and (labels or {}).items() <= _labels(event).items()
            and by in (None, event.actor.role)
        )
        return min(matching, key=lambda event: event.ts_mono, default=None)

    def _late(self, what: str, event: Event, since: float, allowed: float) -> list[str]:
        took = (event.ts_mono - since) * self._scale
        if took <= allowed:
            return []
        return [f"{what} after {format_duration(took)}, allowed {format_duration(allowed)}"]


def _labels(event: Event) -> dict[str, Any]:
    return dict(event.payload.get("labels", {}))
