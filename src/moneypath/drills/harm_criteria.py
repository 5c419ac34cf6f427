"""Judge from the event log whether the harm to customers ended, stayed ended, and by a repair."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from moneypath.drills.runbook_criteria import mitigations_done
from moneypath.drills.scenario import Scenario
from moneypath.incidents.events import Event
from moneypath.incidents.timeline import Kind
from moneypath.path.durations import format_duration

_HARM = frozenset({Kind.HARM_STARTED, Kind.HARM_ENDED, Kind.HARM_UNKNOWN})
# Two events of one look may differ by less than a clock tells apart.
_TOLERANCE_SECONDS = 0.001


@dataclass(frozen=True, slots=True)
class HarmEnd:
    """The end of harm after which it never came back, and how long and on how much it was seen to last.

    All times are real seconds of the log's clock; `events` is None when the log does not count them.
    """

    at: float
    lasted: float
    events: float | None


def mitigated_after(scenario: Scenario, events: Sequence[Event]) -> float | None:
    """Return the real seconds from the fault's effect to the end of harm, None unless the end is a repair."""
    effective = _first(events, Kind.FAULT_EFFECTIVE)
    end = _end(events)
    if effective is None or end is None or any(_lasting_failures(scenario, events, effective, end)):
        return None
    return max(0.0, end.at - effective.ts_mono)


def harm_failures(scenario: Scenario, events: Sequence[Event]) -> Iterator[str]:
    """Yield why harm did not end, did not stay ended, or ended only with the fault."""
    effective = _first(events, Kind.FAULT_EFFECTIVE)
    end = _end(events)
    if end is None:
        yield _why_not_ended(events)
    elif effective is not None:
        yield from _lasting_failures(scenario, events, effective, end)
        took = (end.at - effective.ts_mono) * scenario.clock.scale
        if took > scenario.expect.harm.within:
            allowed = format_duration(scenario.expect.harm.within)
            yield f"customer harm ended after {format_duration(took)}, allowed {allowed}"


def repair_failures(events: Sequence[Event]) -> Iterator[str]:
    """Yield that harm went away by itself: a repair is a mitigation that was done before harm ended."""
    end = _end(events)
    if end is None:
        return
    if not any(step.ts_mono <= end.at for step in mitigations_done(events)):
        yield "customer harm ended without a repair: no mitigation of the runbook was done before it"


def _lasting_failures(
    scenario: Scenario, events: Sequence[Event], effective: Event, end: HarmEnd
) -> Iterator[str]:
    hold, scale = scenario.expect.harm.hold, scenario.clock.scale
    needed = hold.real_seconds(scale)
    if end.lasted < needed - _TOLERANCE_SECONDS or end.events is None or end.events < hold.min_events:
        on = "no" if end.events is None else f"{end.events:.0f}"
        yield (
            f"customer harm was not shown to stay over: {end.lasted:.1f} s of {needed:.1f} s (real), "
            f"on {on} of {hold.min_events} events"
        )
    if end.at + needed > _fault_over(scenario, events, effective):
        yield "customer harm ended only when the fault was over by itself"


def _fault_over(scenario: Scenario, events: Sequence[Event], effective: Event) -> float:
    """Return when a fault first ended by itself: as planned or as logged, whichever is earlier."""
    planned = effective.ts_mono + scenario.fault_life / scenario.clock.scale
    ended = _first(events, Kind.FAULT_ENDED)
    return planned if ended is None else min(planned, ended.ts_mono)


def _end(events: Sequence[Event]) -> HarmEnd | None:
    """Return the last end of harm that nothing came after.

    Customers may be harmed before a canary is, so harm counts from the command of the fault.
    """
    story = _harm_events(events)
    if not story or story[-1].kind != Kind.HARM_ENDED:
        return None
    if not any(event.kind == Kind.HARM_STARTED for event in story):
        return None
    ended = story[-1]
    after = [e for e in events if e.kind == Kind.HARM_STAYED_ENDED and e.ts_mono >= ended.ts_mono]
    lasted = min(after, key=lambda event: event.ts_mono, default=ended)
    begun, counted = ended.payload.get("evidence"), lasted.payload.get("evidence")
    events_seen = None if begun is None or counted is None else float(counted) - float(begun)
    return HarmEnd(ended.ts_mono, lasted.ts_mono - ended.ts_mono, events_seen)


def _why_not_ended(events: Sequence[Event]) -> str:
    story = _harm_events(events)
    if story and story[-1].kind == Kind.HARM_UNKNOWN:
        return "customer harm was not seen to end: in the end nothing was known of it"
    if story and story[-1].kind == Kind.HARM_STARTED and any(e.kind == Kind.HARM_ENDED for e in story):
        return "customer harm was not seen to end: it came back"
    return "customer harm was not seen to end"


def _harm_events(events: Sequence[Event]) -> list[Event]:
    commanded = _first(events, Kind.FAULT_COMMANDED, Kind.FAULT_EFFECTIVE)
    if commanded is None:
        return []
    since = [event for event in events if event.kind in _HARM and event.ts_mono >= commanded.ts_mono]
    return sorted(since, key=lambda event: (event.ts_mono, event.seq))


def _first(events: Sequence[Event], *kinds: Kind) -> Event | None:
    return min((event for event in events if event.kind in kinds), key=lambda e: e.ts_mono, default=None)
