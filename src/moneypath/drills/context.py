"""What the parts of a running drill share."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from moneypath.drills.actions_taken import ActionsTaken
from moneypath.drills.business import BusinessWatcher
from moneypath.drills.effect import Canaries
from moneypath.drills.faults import Leases
from moneypath.drills.scenario import Scenario
from moneypath.drills.service import DrillPager, TrafficFaults
from moneypath.incidents.events import Actor, EventLog
from moneypath.incidents.timeline import Kind
from moneypath.runbooks import ExecutionContext, OperatorAction, PendingUndos, Query, Runbook, Step
from moneypath.target.exchange import Exchange


@dataclass(frozen=True, slots=True)
class DrillContext:
    """One drill under way.

    `pending_undos` outlives a cancelled runbook, so that its mitigations can still be undone. `faults_over`
    is set when every fault of the timeline has ended: only then may a provider say that it is repaired.
    `folder` takes the logs of load and canary.
    """

    scenario: Scenario
    log: EventLog
    exchange: Exchange
    runbook: Runbook
    actions: Mapping[str, OperatorAction]
    query: Query
    pager: DrillPager
    canary: Canaries
    leases: Leases
    traffic: TrafficFaults
    business: BusinessWatcher
    actions_taken: ActionsTaken
    folder: Path
    customers_log_file: Path | None
    pending_undos: PendingUndos = field(default_factory=PendingUndos)
    faults_over: asyncio.Event = field(default_factory=asyncio.Event)
    _ended: set[str] = field(default_factory=set)

    async def end_faults(self, names: Sequence[str]) -> None:
        """End the faults called `names`; those that have ended already are ignored."""
        await self.traffic.end(names)
        await self.leases.end(list(names))
        self._ended.update(names)
        if self._ended >= {step.id for step in self.scenario.timeline if step.id}:
            self.faults_over.set()

    def real(self, seconds: float) -> float:
        """Return production seconds as real seconds."""
        return seconds / self.scenario.clock.scale

    def execution_context(self, labels: Mapping[str, str]) -> ExecutionContext:
        """Return the context in which the runbook is followed for an alert with `labels`."""
        return ExecutionContext(
            labels=labels,
            scale=self.scenario.clock.scale,
            incident=self.scenario.title.replace(" ", "-"),
            approve=self._agree,
        )

    async def _agree(self, step: Step) -> str | None:
        """Agree to a step as the second person, once every fault is over; None if nobody in the drill may."""
        deciders = (role for role, script in self.scenario.responders.items() if script.approves)
        role = next(deciders, None)
        if role is None:
            return None
        await self.faults_over.wait()
        actor = Actor(role=role, principal=role, simulated=True)
        payload = {"action": step.instruction[0], "subject_id": step.id}
        self.log.append(Kind.APPROVED, step.instruction[0], payload, actor=actor, source="responder")
        return role
