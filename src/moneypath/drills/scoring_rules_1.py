"""The first scoring rules, as they were: they score the bundles that were made while they were in force.

Nothing here is improved any more, and it shares no rule with the scoring of today: a bundle is read by the
words of its own time. The rules read the scenario as plain YAML, and return the scorecard as JSON values.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from moneypath.incidents.events import Event
from moneypath.path.durations import format_duration, parse_duration
from moneypath.path.yaml_document import parse

Document: TypeAlias = dict[str, Any]

LISTED_AS: Final = "business_metrics"
# Logs that do not list their business metrics measured these.
_UNLISTED: Final = (
    ("latency_p95", "p95 authorization latency", "seconds"),
    ("latency_p99", "p99 authorization latency", "seconds"),
    ("ledger_write_success", "Ledger write success", "ratio"),
    ("ledger_durability", "Ledger durability", "ratio"),
    ("reconciliation_lag", "Reconciliation lag", "seconds"),
    ("reconciliation_breaks", "Reconciliation breaks", "count"),
    ("cost_per_transaction", "Cost per transaction", "micro_units"),
)
_DEVIATIONS: Final = {
    "steady_state.broken": "steady state broken",
    "fault.ineffective": "fault without effect",
    "guardrail.hit": "guardrail hit",
}


def score(events: Sequence[Event]) -> Document:
    """Return the scorecard; raises what plain YAML and JSON of any shape make it raise."""
    scenario: Document = _scenario(events)
    expect, scoring, scale = scenario["expect"], scenario["scoring"], scenario["clock"]["scale"]
    times = _times(events, {alert["name"] for alert in expect["alerts"]})
    rows = _rows(events)
    parts = [_part(name, weight, expect, events, times, scale) for name, weight in scoring["weights"].items()]
    total = sum(part["score"] * part["weight"] for part in parts) / sum(part["weight"] for part in parts)
    broken_ledger = _ledger_failures(events)
    failures = [*broken_ledger, *_unmet_criteria(expect, scale, events, times, rows)]
    pass_at = scoring["pass_at"]
    if failures:
        total = min(total, max(0.0, pass_at - 0.01))
    if broken_ledger:
        total = 0.0
    if not failures and total < pass_at:
        failures = [f"score {total:.2f} is below {pass_at:.2f}"]
    return {
        "title": scenario["title"], "passed": not failures, "score": total, "parts": parts,
        "failures": failures, "times": times, "scale": scale, "business": rows,
    }  # fmt: skip


def _scenario(events: Sequence[Event]) -> Document:
    scenario = parse(str(events[0].payload["scenario"]), 1).value
    if not isinstance(scenario, dict):
        raise TypeError("the scenario is no mapping")
    return scenario


def _part(
    name: str,
    weight: float,
    expect: Document,
    events: Sequence[Event],
    times: Mapping[str, float | None],
    scale: int,
) -> Document:
    pages = expect["pages"]
    measured = {
        "detect": ("detect", [alert["within"] for alert in expect["alerts"]]),
        "page": ("fault_to_page", [page["within"] for page in pages]),
        "acknowledge": ("acknowledge", [page["ack"] for page in pages]),
        "mitigate": ("mitigate", [expect["harm"]["within"]]),
        "restore": ("restore", [expect["restored_within"]]),
    }
    seconds = objective = None
    if name in measured:
        key, allowed = measured[name]
        objective = min(parse_duration(text) for text in allowed)
        took = times[key]
        seconds = None if took is None else took * scale
        value = _within(seconds, objective)
    elif name == "runbook":
        value = _steps_satisfied(events)
    else:
        fired = {(e.payload.get("alert"), str(e.payload.get("labels"))) for e in _of(events, "alert.firing")}
        value = max(0.0, min(1.0, 2.0 - len(fired) / expect["alert_budget"]))
    return {
        "name": name, "score": value, "weight": weight,
        "measured_seconds": seconds, "objective_seconds": objective,
    }  # fmt: skip


def _within(seconds: float | None, objective: float) -> float:
    if seconds is None:
        return 0.0
    if seconds <= objective:
        return 1.0
    return max(0.0, 2.0 - seconds / objective) if objective > 0 else 0.0


def _steps_satisfied(events: Sequence[Event]) -> float:
    last = {event.subject: event.payload.get("outcome") for event in _of(events, "runbook.step")}
    return sum(outcome == "satisfied" for outcome in last.values()) / len(last) if last else 0.0


def _ledger_failures(events: Sequence[Event]) -> list[str]:
    truths = _of(events, "ledger.truth")
    if not truths:
        return ["the ledger was never audited"]
    last = truths[-1].payload
    if last.get("whole") is True:
        return []
    found = [str(text) for text in last.get("discrepancies", ())] or ["no reason recorded"]
    return [f"the ledger is not whole: {'; '.join(found[:5])}"]


def _unmet_criteria(
    expect: Document,
    scale: int,
    events: Sequence[Event],
    times: Mapping[str, float | None],
    rows: Sequence[Document],
) -> list[str]:
    found = [
        f"{_DEVIATIONS[event.kind]}: {event.payload.get('reason') or event.subject}"
        for event in events
        if event.kind in _DEVIATIONS
    ]
    if not _steady(events, "before"):
        found.append("steady state was not established before the fault")
    effective = next(iter(_of(events, "fault.effective")), None)
    if effective is None:
        return [*found, "the fault never took effect"]
    since = [event for event in events if event.ts_mono >= effective.ts_mono]
    for alert in expect["alerts"]:
        found += _alert_failures(alert, since, effective.ts_mono, scale)
    fired = {event.payload.get("alert") for event in _of(events, "alert.firing")}
    found += [f"alert {name} fired and must not" for name in expect.get("no_alerts", ()) if name in fired]
    names = sorted({alert["name"] for alert in expect["alerts"]})
    for page in expect["pages"]:
        found += _page_failures(page, names, since, effective.ts_mono, scale)
    found += _runbook_failures(events)
    if times["mitigate"] is None:
        found.append("customer harm was not seen to end")
    if not _steady(events, "after"):
        found.append("steady state did not return after the undo")
    undone = _of(events, "undo")
    if not undone or not all(event.payload.get("ok") is True for event in undone):
        found.append("the undo did not run to its end")
    if not rows:
        found.append("the log lists no business metric")
    found += [
        f"{row['title']} was not known {phase} the fault"
        for row in rows
        for phase in ("before", "after")
        if row[phase] is None
    ]
    return found


def _alert_failures(expected: Document, since: Sequence[Event], t0: float, scale: int) -> list[str]:
    name, labels = expected["name"], expected.get("labels", {})
    first = _first(since, "alert.firing", {"alert": name}, labels)
    if first is None:
        return [f"alert {name} did not fire"]
    found = _late(f"alert {name} fired", first.ts_mono - t0, scale, expected["within"])
    if first.payload.get("severity") != expected["severity"]:
        found.append(
            f"alert {name} fired as {first.payload.get('severity')}, expected {expected['severity']}"
        )
    resolved = _first(since, "alert.resolved", {"alert": name}, labels)
    if resolved is None or resolved.ts_mono < first.ts_mono:
        found.append(f"alert {name} did not resolve after the repair")
    return found


def _page_failures(
    expected: Document, names: Iterable[str], since: Sequence[Event], t0: float, scale: int
) -> list[str]:
    role = expected["role"]
    pages = [_first(since, "page.delivered", {"role": role, "alert": name}, {}) for name in names]
    first = min((page for page in pages if page), key=lambda event: event.ts_mono, default=None)
    if first is None:
        return [f"role {role} was not paged"]
    found = _late(f"role {role} was paged", first.ts_mono - t0, scale, expected["within"])
    acknowledged = _first(since, "page.acknowledged", {"role": role}, {})
    if acknowledged is None:
        return [*found, f"role {role} did not acknowledge"]
    took = acknowledged.ts_mono - first.ts_mono
    return [*found, *_late(f"role {role} acknowledged", took, scale, expected["ack"])]


def _late(what: str, real_seconds: float, scale: int, within: str) -> list[str]:
    took, allowed = real_seconds * scale, parse_duration(within)
    if took <= allowed:
        return []
    return [f"{what} after {format_duration(took)}, allowed {format_duration(allowed)}"]


def _runbook_failures(events: Sequence[Event]) -> list[str]:
    ended = _of(events, "runbook.ended")
    if not ended:
        return ["the runbook was not followed to any end"]
    last = ended[-1].payload
    if last.get("status") == "completed":
        return []
    return [f"the runbook {last.get('status')}: {last.get('reason')}"]


def _times(events: Sequence[Event], relevant: set[str]) -> dict[str, float | None]:
    effective = _earliest(_of(events, "fault.effective"))
    since = [] if effective is None else [e for e in events if e.ts_mono >= effective.ts_mono]
    own = [event for event in since if event.payload.get("alert") in relevant]
    firing, page = _earliest(_of(own, "alert.firing")), _earliest(_of(own, "page.delivered"))
    acknowledged = _earliest(
        [e for e in _of(since, "page.acknowledged") if page and e.ts_mono >= page.ts_mono]
    )
    return {
        "detect": _between(effective, firing),
        "page": _between(firing, page),
        "acknowledge": _between(page, acknowledged),
        "mitigate": _between(effective, _harm_over(events)),
        "restore": _between(effective, _restored(since)),
        "fault_to_page": _between(effective, page),
    }


def _harm_over(events: Sequence[Event]) -> Event | None:
    commanded = _earliest([*_of(events, "fault.commanded"), *_of(events, "fault.effective")])
    if commanded is None:
        return None
    since = [event for event in events if event.ts_mono >= commanded.ts_mono]
    ended, started = _latest(_of(since, "harm.ended")), _latest(_of(since, "harm.started"))
    if ended is None or started is None or started.ts_mono > ended.ts_mono:
        return None
    return ended


def _restored(since: Sequence[Event]) -> Event | None:
    steady = _latest([e for e in _of(since, "steady_state.held") if e.payload.get("phase") == "after"])
    truth = _latest(_of(since, "ledger.truth"))
    if steady is None or truth is None or not truth.payload.get("whole"):
        return None
    return max(steady, truth, key=lambda event: event.ts_mono)


def _rows(events: Sequence[Event]) -> list[Document]:
    seen = {event.payload.get("phase"): event.payload for event in _of(events, "measured")}
    currency = next((str(payload.get("currency", "")) for payload in seen.values()), "")
    listed = events[0].payload.get(LISTED_AS)
    metrics = _UNLISTED if listed is None else [(row["id"], row["title"], row["unit"]) for row in listed]
    return [
        {
            "id": name, "title": title, "unit": unit, "currency": currency if unit == "micro_units" else "",
            **{phase: _value(seen.get(phase, {}), name) for phase in ("before", "during", "after")},
        }
        for name, title, unit in metrics
    ]  # fmt: skip


def _value(payload: Mapping[str, Any], name: str) -> float | None:
    values = payload.get("values")
    value = values.get(name) if isinstance(values, Mapping) else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _of(events: Iterable[Event], kind: str) -> list[Event]:
    return [event for event in events if event.kind == kind]


def _first(
    events: Sequence[Event], kind: str, payload: Mapping[str, Any], labels: Mapping[str, str]
) -> Event | None:
    return _earliest(
        [
            event
            for event in _of(events, kind)
            if payload.items() <= event.payload.items()
            and labels.items() <= dict(event.payload.get("labels", {})).items()
        ]
    )


def _earliest(events: Sequence[Event]) -> Event | None:
    return min(events, key=lambda event: event.ts_mono, default=None)


def _latest(events: Sequence[Event]) -> Event | None:
    return max(events, key=lambda event: (event.ts_mono, event.seq), default=None)


def _between(start: Event | None, end: Event | None) -> float | None:
    if start is None or end is None:
        return None
    return max(0.0, end.ts_mono - start.ts_mono)


def _steady(events: Sequence[Event], phase: str) -> bool:
    return any(event.payload.get("phase") == phase for event in _of(events, "steady_state.held"))
