"""A drill's evidence made without a drill, and the hands of somebody who forges it and seals it again."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

from tests.drills.compared import compared
from tests.proof_table import caught_by

from moneypath.drills.business import LISTED_AS
from moneypath.drills.objectives import OBJECTIVES_AS
from moneypath.drills.runbook_criteria import HOLDS_AS
from moneypath.drills.scoring import RULES, RULES_KEY, score
from moneypath.incidents.events import GENESIS, SYSTEM, Actor, Event, EventLog, LogHead, read_events
from moneypath.incidents.evidence_files import EVENTS, MANIFEST, SCORECARD, hash_files
from moneypath.incidents.manifest import ManifestHead, origin, parse_manifest
from moneypath.incidents.timeline import Kind
from moneypath.incidents.verification import References, Verification
from moneypath.runbooks import ACTION_PROMISES
from moneypath.stack.pager.payload import LogHead as SentHead
from moneypath.stack.pager.payload import Webhook
from moneypath.stack.pager.store import PageStore
from moneypath.workflows.evidence_bundle import write_bundle
from moneypath.workflows.evidence_sealing import UNSEALED, SealPlan, seal
from moneypath.workflows.evidence_verification import verify

ALERT: Final = "MoneyPathDoubleCharge"
ACKNOWLEDGEMENTS: Final = "acknowledgements.jsonl"
WALL: Final = 1_795_345_200.0
MONO: Final = 5_000.0
OPS: Final = Actor("ops", "role_ops", simulated=True)
ENG: Final = Actor("eng", "role_eng", simulated=True)
OBJECTIVES: Final = [{"id": "availability", "title": "Authorization availability", "objective": "0.999"}]
METRICS: Final = [{"id": "cost", "title": "Cost per transaction", "unit": "micro_units"}]

SCENARIO: Final = """
title: A drill of the tests
runbook: double-charge
objectives: [The evidence is what it says]
mode: ci
clock: {scale: 60, seed: 1}
load: {checkouts_per_second: 1, users: 1, card_ranges: {"411111": 1}}
steady_state:
  - {id: nothing-fires, query: up, expect: {value: "== 1"}}
guardrails: {max_minutes: 90, fault_ttl: 10s}
timeline:
  - {at: 0s, id: north-forgets, fault: provider.forget, target: north, params: {rate: 0.1}}
  - {at: 50m, end: [north-forgets]}
effective_when: target_hit
expect:
  alerts: [{name: MoneyPathDoubleCharge, within: 9m, severity: critical}]
  alert_budget: 2
  pages:
    - {alert: MoneyPathDoubleCharge, role: ops, within: 10m, ack: 5m}
    - {alert: MoneyPathDoubleCharge, role: eng, within: 10m, ack: 5m}
  harmed_objectives: []
  harm:
    id: none-twice
    title: double charges
    unit: count
    query: up
    expect: {value: "== 0", for: 5m, evidence: {min: 20, query: rows_total}}
    within: 30m
  restored_within: 80m
  ledger_truth: whole
responders: {ops: {ack_after: 1m, follows: double-charge}, eng: {ack_after: 2m, approves: true}}
scoring:
  pass_at: 0.8
  weights: {detect: 2, page: 2, acknowledge: 1, mitigate: 3, restore: 2, runbook: 2, quiet: 1}
"""


class Story:
    """Writes the log of a drill that went well, on clocks of its own; the pager keeps its part."""

    def __init__(self, folder: Path, pager_file: Path) -> None:
        self._now = 0.0
        self.log = EventLog(folder / EVENTS, wall=lambda: WALL + self._now, mono=lambda: MONO + self._now)
        self._pager = PageStore(pager_file)

    def add(
        self, at: float, kind: Kind, subject: str, payload: Mapping[str, Any] = {}, actor: Actor = SYSTEM
    ) -> None:
        """Append one event, `at` seconds after the start."""
        self._now = at
        self.log.append(kind, subject, payload, actor=actor)

    def page(self, at: float, role: str, *, logged: bool = True) -> int:
        """Deliver a page to a role; return its number."""
        kept = self._pager.add_page(role, webhook(), WALL + at)
        if logged:
            self.add(at, Kind.PAGE_DELIVERED, ALERT, {"alert": ALERT, "role": role, "page": kept.seq})
        return kept.seq

    def acknowledge(self, at: float, page: int, actor: Actor) -> None:
        """Acknowledge a page; the pager keeps the log's head."""
        head = self.log.head
        self._pager.acknowledge(page, actor.role, WALL + at, SentHead(seq=head.seq, hash=head.hash))
        self.add(at, Kind.PAGE_ACKNOWLEDGED, ALERT, {"alert": ALERT, "page": page, "role": actor.role}, actor)

    def measured(self, at: float, phase: str) -> None:
        """Record the business metrics."""
        self.add(at, Kind.MEASURED, "business metrics", {"phase": phase, "values": {"cost": 1.5}})

    def close(self) -> tuple[Event, ...]:
        """Close both files; return the events."""
        self.log.close()
        self._pager.close()
        return self.log.events


def webhook() -> Webhook:
    """Return Alertmanager's notification of the drill's alert."""
    alert = {
        "status": "firing", "labels": {"alertname": ALERT}, "annotations": {},
        "startsAt": "2026-11-22T12:00:00Z", "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus", "fingerprint": "abc",
    }  # fmt: skip
    common = {"groupLabels": {}, "commonLabels": {}, "commonAnnotations": {}, "externalURL": "http://am"}
    body = {
        "version": "4", "groupKey": "{}", "truncatedAlerts": 0, "status": "firing", "receiver": "r",
        "alerts": [alert], **common,
    }  # fmt: skip
    return Webhook.model_validate_json(json.dumps(body))


def tell(
    story: Story,
    folder: Path,
    *,
    steady: bool = True,
    harm_ends: bool = True,
    approved: bool = True,
    page_unlogged: bool = False,
    last_page_unlogged: bool = False,
) -> None:
    """Tell the story of a drill that scores 1.00, or of one in which something is left out."""
    started = {"scenario": SCENARIO, "scale": 60, LISTED_AS: METRICS, **origin(folder)}
    started |= {RULES_KEY: RULES, OBJECTIVES_AS: OBJECTIVES, HOLDS_AS: {}}
    story.add(0, Kind.DRILL_STARTED, "A drill of the tests", started)
    if not steady:
        story.add(8, Kind.STEADY_STATE_BROKEN, "before", {"phase": "before", "reason": "no heartbeat"})
        story.add(9, Kind.DRILL_ENDED, "A drill of the tests")
        return
    story.add(8, Kind.STEADY_STATE, "before", {"phase": "before"})
    story.measured(8.5, "before")
    story.add(9, Kind.FAULT_COMMANDED, "north-forgets")
    story.add(10, Kind.FAULT_EFFECTIVE, "north")
    story.add(11, Kind.HARM_STARTED, "customers")
    labels = {"severity": "critical"}
    firing = {"alert": ALERT, "severity": "critical", "labels": labels}
    story.add(16, Kind.ALERT_FIRING, ALERT, firing)
    page_to_eng = story.page(16.4, "eng")
    if page_unlogged:
        story.page(16.4, "compliance", logged=False)
    page_to_ops = story.page(16.4, "ops")
    story.acknowledge(17.4, page_to_ops, OPS)
    story.add(17.5, Kind.RUNBOOK_STARTED, "double-charge", {"steps": 2}, OPS)
    story.acknowledge(18.4, page_to_eng, ENG)
    if approved:
        story.add(20, Kind.APPROVED, "duplicates.refund", {"action": "duplicates.refund"}, ENG)
    refund = {
        "kind": "finished", "type": "mitigate", "action": ["duplicates.refund", "north"],
        "outcome": "satisfied", "approval": "in_service", "idempotency_key": "key of refund",
    }  # fmt: skip
    story.add(20.4, Kind.RUNBOOK_STEP, "refund", refund, OPS)
    if harm_ends:
        story.add(22, Kind.HARM_ENDED, "customers", {"evidence": 100.0})
        story.add(28, Kind.HARM_STAYED_ENDED, "customers", {"evidence": 400.0})
    promise = ACTION_PROMISES["duplicates.refund"]
    kept = {
        "action": "duplicates.refund", "argument": "north", "key": "key of refund", "reason": "",
        "found": float(promise.least), "evidence": float(promise.least_evidence) or None,
    }  # fmt: skip
    story.add(29, Kind.PROMISE_CHECKED, "duplicates.refund", kept)
    story.add(60, Kind.FAULT_ENDED, "north-forgets")
    story.add(64, Kind.ALERT_RESOLVED, ALERT, firing)
    story.add(65, Kind.RUNBOOK_ENDED, "double-charge", {"status": "completed", "reason": ""}, OPS)
    if last_page_unlogged:
        story.page(65.5, "compliance", logged=False)
    story.add(66, Kind.UNDO, "faults and mitigations", {"ok": True, "reason": ""})
    story.measured(67, "during")
    story.add(70, Kind.STEADY_STATE, "after", {"phase": "after"})
    story.measured(71, "after")
    counts = {"availability": {"valid": 5000.0, "bad": 0.0}}
    story.add(72, Kind.OBJECTIVES_MEASURED, "objectives", {"counts": counts})
    story.add(73, Kind.LEDGER_TRUTH, "ledger", {"whole": True, "discrepancies": []})
    story.add(73.5, Kind.METRICS_COMPARED, "metrics", compared())
    story.add(74, Kind.DRILL_ENDED, "A drill of the tests")


class Bundle:
    """One bundle with everything that it may be held against, and its forger."""

    def __init__(
        self, root: Path, run: str, plan: SealPlan = UNSEALED, story: Mapping[str, bool] | None = None
    ) -> None:
        self.folder = root / run / "drill"
        self.pager_file = root / run / "pages.jsonl"
        self.folder.mkdir(parents=True)
        self.pager_file.touch()
        project = root / "project"
        (project / "alerts").mkdir(parents=True, exist_ok=True)
        for name, text in (
            ("drill-006-of-tests.yaml", SCENARIO), ("double-charge.md", "# A runbook"),
            ("moneypath.yaml", "name: of tests"), ("alerts/rules.yml", "groups: []"),
        ):  # fmt: skip
            (project / name).write_text(text)
        telling = Story(self.folder, self.pager_file)
        if plan.anchor_file is not None:
            telling.log.listen(plan.anchor_start())
        tell(telling, self.folder, **(story or {}))
        events = telling.close()
        (self.folder / ACKNOWLEDGEMENTS).write_text('{"outcome": "succeeded"}\n')
        sources = {
            "scenario": project / "drill-006-of-tests.yaml", "runbook": project / "double-charge.md",
        }  # fmt: skip
        write_bundle(self.folder, project, sources, events, score(events))
        asyncio.run(seal(self.folder, plan))

    def verify(self, **references: Any) -> Verification:
        """Verify the bundle against what a verifier holds."""
        found = verify(self.folder, References(**references))
        caught_by(divergence.what for divergence in found.divergences)
        return found

    def text(self, name: str, change: Callable[[str], str]) -> None:
        """Change the text of a file."""
        file = self.folder / name
        before = file.read_text(encoding="utf-8")
        after = change(before)
        assert after != before, f"nothing of {name} was changed"
        file.write_text(after, encoding="utf-8")

    def events(self, change: Callable[[Event], Event | None]) -> None:
        """Change or drop events, and seal the chain again."""
        chain: list[Event] = []
        for event in read_events(self.folder / EVENTS):
            changed = change(event)
            if changed is not None:
                prev = chain[-1].hash if chain else GENESIS
                chain.append(replace(changed, seq=len(chain) + 1, prev_hash=prev).sealed())
        self.write_log(chain)

    def write_log(self, chain: Sequence[Event]) -> None:
        """Write a log in place of the one that is there."""
        lines = "".join(json.dumps(asdict(event), sort_keys=True) + "\n" for event in chain)
        (self.folder / EVENTS).write_text(lines, encoding="utf-8")

    def seal_again(self) -> None:
        """Make scorecard and manifest anew from what the files say now, as the runner does."""
        events = read_events(self.folder / EVENTS)
        (self.folder / SCORECARD).write_text(json.dumps(asdict(score(events)), indent=2))
        self.list_again(LogHead(events[-1].seq, events[-1].hash))

    @property
    def scorecard(self) -> dict[str, Any]:
        """Return the scorecard as it is written."""
        document: dict[str, Any] = json.loads((self.folder / SCORECARD).read_text(encoding="utf-8"))
        return document

    def list_again(self, head: LogHead | None = None) -> None:
        """Make the manifest anew, and leave the scorecard as it is."""
        manifest = parse_manifest((self.folder / MANIFEST).read_bytes())
        changes: dict[str, Any] = {"files": hash_files(self.folder)}
        if head is not None:
            changes["head"] = ManifestHead(seq=head.seq, hash=head.hash)
        (self.folder / MANIFEST).write_bytes(manifest.model_copy(update=changes).to_bytes())
