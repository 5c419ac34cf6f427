"""The event log of a drill that went well, made from its file and its runbook; tests spoil it."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from moneypath.alerting.business_metrics import business_metrics
from moneypath.alerting.objective_counts import objective_counts
from moneypath.drills.business import LISTED_AS, listed
from moneypath.drills.objectives import OBJECTIVES_AS, listed_objectives
from moneypath.drills.runbook_criteria import HOLDS_AS, listed_holds
from moneypath.drills.scenario import Scenario, load_scenario
from moneypath.incidents.events import SYSTEM, Actor, Event
from moneypath.incidents.timeline import Kind
from moneypath.path.loader import FILE_NAME, load
from moneypath.runbooks import ACTION_PROMISES, Approval, Runbook, Step
from moneypath.runbooks import load as load_runbook
from moneypath.runbooks.model import END

from .compared import compared

PROJECT = Path(__file__).parents[2]
PATH = load(PROJECT / FILE_NAME)
METRICS = business_metrics(PATH)
OBJECTIVES = objective_counts(PATH)
DRILLS = tuple(sorted(file.stem for file in (PROJECT / "drills").glob("drill-*.yaml")))
OUTAGE = "drill-002-partial-provider-outage"
EFFECT = 100.0
FIRED = EFFECT + 3.0
HARM_ENDED = EFFECT + 12.0
EVENTS = 500.0
VALID = 5000.0
FOLLOWER = Actor("ops", "ops")


class Story:
    """The events of a drill that went well; tests take away, delay or spoil one."""

    def __init__(self, drill: str = OUTAGE) -> None:
        text, self.scenario, self.runbook = _files(drill)
        self.events: list[Event] = []
        started = {
            "scenario": text,
            "scale": self.scenario.clock.scale,
            LISTED_AS: listed(METRICS),
            OBJECTIVES_AS: listed_objectives(OBJECTIVES),
            HOLDS_AS: listed_holds(self.runbook),
        }
        self.add(0.0, Kind.DRILL_STARTED, "drill", started)
        self.add(90.0, Kind.STEADY_STATE, "before", {"phase": "before"})
        self.measured(91.0, "before")
        self.add(EFFECT, Kind.FAULT_EFFECTIVE, "canary", {"status": 502})
        self.harm(EFFECT + 1, Kind.HARM_STARTED, 1000.0)
        for alert in self.scenario.expect.alerts:
            self.alert(FIRED, alert.name, alert.labels, alert.severity)
        self._pages()
        self.harm(HARM_ENDED, Kind.HARM_ENDED, 1200.0)
        hold = self.scenario.expect.harm.hold.real_seconds(self.scenario.clock.scale)
        self.harm(HARM_ENDED + hold, Kind.HARM_STAYED_ENDED, 1200.0 + EVENTS)
        self.fault_over = EFFECT + self.scenario.fault_life / self.scenario.clock.scale
        self.add(self.fault_over, Kind.FAULT_ENDED, "fault", {"target": "north"})
        end = self.fault_over + 10
        for alert in self.scenario.expect.alerts:
            self.alert(end, alert.name, alert.labels, alert.severity, kind=Kind.ALERT_RESOLVED)
        self.add(106.2, Kind.RUNBOOK_STARTED, self.runbook.id, {"steps": len(self.runbook.steps)})
        self._steps()
        self.add(end + 1, Kind.RUNBOOK_ENDED, "runbook", {"status": "completed", "reason": ""})
        self.add(end + 2, Kind.UNDO, "faults", {"ok": True})
        self.measured(end + 3, "during")
        self.add(end + 5, Kind.STEADY_STATE, "after", {"phase": "after"})
        self.measured(end + 6, "after")
        counts = {one.id: {"valid": VALID, "bad": 0.0} for one in OBJECTIVES}
        self.add(end + 7, Kind.OBJECTIVES_MEASURED, "objectives", {"counts": counts})
        self.add(end + 8, Kind.LEDGER_TRUTH, "ledger", {"whole": True})
        self.add(end + 9, Kind.METRICS_COMPARED, "metrics", compared())

    def add(
        self,
        at: float,
        kind: Kind,
        subject: str,
        payload: Mapping[str, object] | None = None,
        actor: Actor = SYSTEM,
    ) -> None:
        """Append one event at an instant of the monotonic clock."""
        self.events.append(Event(len(self.events) + 1, at, at, kind, actor, subject, payload or {}))

    def measured(self, at: float, phase: str, **changed: float | None) -> None:
        """Append a reading of the business metrics."""
        values = {metric.id: 1.0 for metric in METRICS} | changed
        self.add(at, Kind.MEASURED, "business metrics", {"phase": phase, "values": values})

    def harm(self, at: float, kind: Kind, evidence: float | None) -> None:
        """Append a change of the harm, with the events counted so far."""
        self.add(at, kind, "customers", {"evidence": evidence})

    def alert(
        self,
        at: float,
        name: str,
        labels: Mapping[str, str],
        severity: str = "critical",
        kind: Kind = Kind.ALERT_FIRING,
    ) -> None:
        """Append that an alert fires, or no longer does."""
        payload = {"alert": name, "severity": severity, "labels": {**labels, "severity": severity}}
        self.add(at, kind, name, payload)

    def page(self, at: float, alert: str, role: str, **labels: str) -> None:
        """Append a delivered page, with the labels of the expected alert unless told otherwise."""
        expected = next((one.labels for one in self.scenario.expect.alerts if one.name == alert), {})
        payload = {"alert": alert, "role": role, "labels": {**expected, **labels}}
        self.add(at, Kind.PAGE_DELIVERED, alert, payload)

    def without(self, spoiled: Callable[[Event], bool]) -> list[Event]:
        """Return the story without the events that `spoiled` picks."""
        return [event for event in self.events if not spoiled(event)]

    def changed(
        self, picked: Callable[[Event], bool], change: Callable[[dict[str, Any]], dict[str, Any]]
    ) -> list[Event]:
        """Return the story with the payload of each picked event changed; one has to be picked."""
        assert any(picked(event) for event in self.events)
        return [
            replace(event, payload=change(dict(event.payload))) if picked(event) else event
            for event in self.events
        ]

    def moved(self, picked: Callable[[Event], bool], at: float) -> list[Event]:
        """Return the story with each picked event at another instant; one has to be picked."""
        assert any(picked(event) for event in self.events)
        return [replace(event, ts_mono=at) if picked(event) else event for event in self.events]

    def _pages(self) -> None:
        for expected in self.scenario.expect.pages:
            self.page(FIRED + 0.1, expected.alert, expected.role)
            actor = Actor(expected.role, expected.role)
            payload = {"alert": expected.alert, "role": expected.role}
            self.add(FIRED + 1.1, Kind.PAGE_ACKNOWLEDGED, expected.alert, payload, actor)

    def _steps(self) -> None:
        """Append the end of each step on the way that leads through, and what its action promised."""
        for step in _way(self.runbook):
            scale = self.scenario.clock.scale
            held = {"seconds": step.hold.real_seconds(scale) + 1, "events": EVENTS} if step.hold else None
            key = f"key of {step.id}" if step.is_action else ""
            payload = {
                "kind": "finished", "type": step.type.value, "outcome": "satisfied",
                "action": list(step.instruction), "held": held, "idempotency_key": key,
                "approval": step.approval.value,
                "approved_by": self._second if step.approval is Approval.SECOND_PERSON else "",
            }  # fmt: skip
            if step.approval is Approval.IN_SERVICE:
                self._approve(step)
            self.add(107.0, Kind.RUNBOOK_STEP, step.id, payload, FOLLOWER)
            if step.is_action:
                promise = ACTION_PROMISES[step.instruction[0]]
                found, evidence = float(promise.least), float(promise.least_evidence) or None
                checked = {
                    "action": step.instruction[0], "argument": "north", "key": key,
                    "found": found, "evidence": evidence, "reason": "",
                }  # fmt: skip
                self.add(170.0, Kind.PROMISE_CHECKED, step.instruction[0], checked)

    def _approve(self, step: Step) -> None:
        """Append that the second person approved a step."""
        approved = {"action": step.instruction[0]}
        self.add(106.5, Kind.APPROVED, step.instruction[0], approved, Actor(self._second, self._second))

    @property
    def _second(self) -> str:
        return next(role for role, one in self.scenario.responders.items() if one.approves)


@cache
def _files(drill: str) -> tuple[str, Scenario, Runbook]:
    file = PROJECT / "drills" / f"{drill}.yaml"
    scenario = load_scenario(file)
    runbook = load_runbook(PROJECT / "runbooks" / f"{scenario.runbook}.md")
    return file.read_text(encoding="utf-8"), scenario, runbook


def _way(runbook: Runbook) -> list[Step]:
    """Return the steps up to the one that leads to the end."""
    last = next((n for n, step in enumerate(runbook.steps) if step.next == END), len(runbook.steps) - 1)
    return list(runbook.steps[: last + 1])
