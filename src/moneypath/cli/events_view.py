"""Print one line for each event of a drill, as it happens."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from moneypath.cli.production_time import AFTER_REPORT, in_production
from moneypath.drills.conditions import FILL_ID
from moneypath.drills.metric_comparison import MetricComparison
from moneypath.drills.scenario import Scenario
from moneypath.incidents.events import Event
from moneypath.incidents.timeline import Kind
from moneypath.path.durations import format_duration
from moneypath.path.source import parse_yaml
from moneypath.runbooks import ACTION_PROMISES
from moneypath.runbooks.promises import Promise
from moneypath.runbooks.record import EventKind, Outcome

TITLES: Final[Mapping[str, tuple[str, str]]] = {
    Kind.DRILL_STARTED: ("drill started", "bold"),
    Kind.STEADY_STATE: ("steady state", "green"),
    Kind.STEADY_STATE_BROKEN: ("steady state broken", "bold red"),
    Kind.FAULT_COMMANDED: ("fault commanded", "yellow"),
    Kind.FAULT_EFFECTIVE: ("fault effective", "bold yellow"),
    Kind.FAULT_INEFFECTIVE: ("fault has no effect", "bold red"),
    Kind.FAULT_ENDED: ("fault ended", "green"),
    Kind.ALERT_FIRING: ("alert firing", "bold red"),
    Kind.ALERT_RESOLVED: ("alert resolved", "green"),
    Kind.PAGE_DELIVERED: ("page delivered", "bold magenta"),
    Kind.PAGE_RESOLVED: ("page resolved", "green"),
    Kind.PAGE_ACKNOWLEDGED: ("acknowledged", "magenta"),
    Kind.RUNBOOK_STARTED: ("runbook", "bold cyan"),
    Kind.RUNBOOK_STEP: ("  step", "cyan"),
    Kind.RUNBOOK_ENDED: ("runbook", "bold cyan"),
    Kind.APPROVED: ("approved", "cyan"),
    Kind.HARM_STARTED: ("harm", "yellow"),
    Kind.HARM_ENDED: ("harm ended", "green"),
    Kind.HARM_STAYED_ENDED: ("harm stayed ended", "green"),
    Kind.HARM_UNKNOWN: ("harm not known", "yellow"),
    Kind.PROMISE_CHECKED: ("promise", "cyan"),
    Kind.GUARDRAIL_HIT: ("guardrail hit", "bold red"),
    Kind.UNDO: ("undo", "green"),
    Kind.LEDGER_TRUTH: ("ledger truth", "bold green"),
    Kind.METRICS_COMPARED: ("metrics", "bold green"),
    Kind.DRILL_ENDED: ("drill ended", "bold"),
}
BAD: Final = "bold red"
PRODUCTION_WIDTH: Final = 22
WHEN_WIDTH: Final = 33
# What is seen of a fault that only a settlement report shows; all that follows waited for that report too.
FIRST_SEEN: Final = frozenset({Kind.HARM_STARTED, Kind.ALERT_FIRING, Kind.PAGE_DELIVERED})


class EventsView:
    """Prints events with the time since the fault took effect, in real and in production time."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._t0: float | None = None
        self._scale = 1
        self._waits = self._reported = False

    def show(self, event: Event) -> None:
        """Print one line; some kinds of event are only in the log."""
        if event.kind == Kind.DRILL_STARTED:
            self._scale = int(event.payload["scale"])
            self._waits = waits_for_reports(event)
            self._console.print(
                f"\n{'real time':>9}  {in_production(self._scale):>{PRODUCTION_WIDTH}}", style="dim"
            )
        self._reported = self._reported or (self._waits and event.kind in FIRST_SEEN)
        if event.kind == Kind.FAULT_EFFECTIVE:
            self._t0 = event.ts_mono
        title, style = TITLES.get(event.kind, ("", ""))
        if not title:
            return
        words, good = describe(event)
        line = Table.grid(padding=(0, 2, 0, 0))
        for width in (WHEN_WIDTH, 18, None):
            line.add_column(width=width, overflow="fold")
        line.add_row(
            f"{self._when(event):>{WHEN_WIDTH}}",
            Text(title, style=style if good else BAD),
            Text(words, style="" if good else BAD),
        )
        self._console.print(line)

    def _when(self, event: Event) -> str:
        if self._t0 is None:
            return ""
        since = event.ts_mono - self._t0
        if since < 0:
            return ""
        production = AFTER_REPORT if self._reported else format_duration(since * self._scale)
        return f"+{since:.1f} s  {production:>{PRODUCTION_WIDTH}}"


def waits_for_reports(started: Event) -> bool:
    """Tell from a drill's first event whether its fault is seen only after the next settlement report."""
    scenario = parse_yaml(str(started.payload["scenario"]), Scenario, file="the log's scenario")
    return scenario.waits_for_reports


def describe(event: Event) -> tuple[str, bool]:
    """Return an event in words, and whether it is as it should be."""
    describer = _DESCRIBERS.get(event.kind)
    return describer(event.payload, event) if describer else (event.subject, True)


def _alert(payload: Mapping[str, Any], event: Event) -> tuple[str, bool]:
    labels: Mapping[str, str] = payload["labels"]
    about = ", ".join(labels[name] for name in ("severity", "provider", "job", "tier") if name in labels)
    return f"{event.subject} ({about})", True


def _page(payload: Mapping[str, Any], event: Event) -> tuple[str, bool]:
    return f"to {payload['role']}: {event.subject}", True


def _acknowledged(_: Mapping[str, Any], event: Event) -> tuple[str, bool]:
    return f"by {event.actor.role}{' (scripted)' if event.actor.simulated else ''}", True


def _step(payload: Mapping[str, Any], _: Event) -> tuple[str, bool]:
    if payload["kind"] == EventKind.UNDONE:
        return f"undo of step {payload['number']}: {' '.join(payload['action'])}", True
    good = payload["outcome"] == Outcome.SATISFIED
    seen = payload["seen"] or payload["reason"]
    return f"{payload['number']} {payload['type']}: {payload['title']}: {seen}", good


def _runbook_started(payload: Mapping[str, Any], event: Event) -> tuple[str, bool]:
    return f"{event.subject}, {payload['steps']} steps, followed by {event.actor.role}", True


def _runbook_ended(payload: Mapping[str, Any], event: Event) -> tuple[str, bool]:
    return f"{event.subject} {payload['status']} {payload['reason']}".rstrip(), payload[
        "status"
    ] == "completed"


def _fault(payload: Mapping[str, Any], event: Event) -> tuple[str, bool]:
    scope = ", ".join(payload.get("card_ranges", ())) or "everything"
    share = f", {payload['rate']:.0%} of {scope}" if "rate" in payload else ""
    what = f" ({payload['what']})" if "what" in payload else ""
    return f"{event.subject}: {payload['fault']}{what} at {payload['target']}{share}", True


def _phase(payload: Mapping[str, Any], _: Event) -> tuple[str, bool]:
    reason = payload.get("reason", "")
    seen = payload.get("seen", {})
    fill = f"; the longest alert window is {float(seen[FILL_ID]):.0%} filled" if FILL_ID in seen else ""
    return f"{payload['phase']} the fault: {reason or f'{len(seen)} conditions hold{fill}'}", not reason


def _reason(payload: Mapping[str, Any], event: Event) -> tuple[str, bool]:
    reason = str(payload.get("reason", ""))
    return reason or event.subject, not reason


def _truth(payload: Mapping[str, Any], _: Event) -> tuple[str, bool]:
    if payload["whole"]:
        return str(payload["summary"]), True
    return f"NOT WHOLE: {'; '.join(map(str, payload['discrepancies'][:3]))}", False


def _metrics(payload: Mapping[str, Any], _: Event) -> tuple[str, bool]:
    compared = MetricComparison.read(payload)
    series = len({row.series for row in compared.rows})
    equal = f"{series} series agree with clients, ledger and providers"
    return "; ".join(compared.lies[:3]) or equal, not compared.lies


def _harm(payload: Mapping[str, Any], _: Event) -> tuple[str, bool]:
    form = ".1%" if payload["unit"] == "ratio" else "g"
    return f"{payload['title']}: {', '.join(format(value, form) for value in payload['values'])}", True


def _promise(payload: Mapping[str, Any], _: Event) -> tuple[str, bool]:
    # A target's own stands beside what was found; it is judged by what the first event lists.
    own = payload.get("promise")
    declared = Promise.read(own) if own else ACTION_PROMISES[payload["action"]]
    found = "not known" if payload["found"] is None else f"{payload['found']:g} found"
    title = f"{payload['action']}: {declared.describe(payload['argument'])}: {found}, {declared.bounds}"
    return title, declared.kept(payload["found"], payload["evidence"])


def _fault_effect(payload: Mapping[str, Any], event: Event) -> tuple[str, bool]:
    if "hits" in payload:
        return f"its target says that it hit {payload['hits']}", True
    return f"a {event.subject} got {payload['status'] or 'no answer'}", True


def _approved(payload: Mapping[str, Any], event: Event) -> tuple[str, bool]:
    return f"{event.actor.role} as the second person: {payload['action']} {payload['subject_id']}", True


_DESCRIBERS: Final[Mapping[str, Callable[[Mapping[str, Any], Event], tuple[str, bool]]]] = {
    Kind.ALERT_FIRING: _alert,
    Kind.ALERT_RESOLVED: _alert,
    Kind.PAGE_DELIVERED: _page,
    Kind.PAGE_RESOLVED: _page,
    Kind.PAGE_ACKNOWLEDGED: _acknowledged,
    Kind.RUNBOOK_STARTED: _runbook_started,
    Kind.RUNBOOK_STEP: _step,
    Kind.RUNBOOK_ENDED: _runbook_ended,
    Kind.APPROVED: _approved,
    Kind.FAULT_COMMANDED: _fault,
    Kind.FAULT_EFFECTIVE: _fault_effect,
    Kind.FAULT_INEFFECTIVE: _reason,
    Kind.STEADY_STATE: _phase,
    Kind.STEADY_STATE_BROKEN: _phase,
    Kind.GUARDRAIL_HIT: _reason,
    Kind.UNDO: _reason,
    Kind.HARM_STARTED: _harm,
    Kind.HARM_ENDED: _harm,
    Kind.HARM_STAYED_ENDED: _harm,
    Kind.HARM_UNKNOWN: _harm,
    Kind.PROMISE_CHECKED: _promise,
    Kind.LEDGER_TRUTH: _truth,
    Kind.METRICS_COMPARED: _metrics,
}
