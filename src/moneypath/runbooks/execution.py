"""Follows a page step by step, says what it saw, and takes its mitigations back.

Nothing here waits without a limit: every step has its `within`, and runs at most MAX_VISITS times
whatever the page's arrows say.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from moneypath.runbooks.context import ExecutionContext
from moneypath.runbooks.doing import Look, poll, pull, words
from moneypath.runbooks.expectations import LeverExpectation
from moneypath.runbooks.model import END, ESCALATE, Runbook, Step
from moneypath.runbooks.placeholders import PlaceholderUnfilled, fill
from moneypath.runbooks.ports import Clock, Lever, Query
from moneypath.runbooks.record import (
    MAX_SAMPLES_KEPT,
    EventKind,
    Execution,
    Outcome,
    Status,
    StepEvent,
)
from moneypath.runbooks.reversal import Reversal, Reversals
from moneypath.runbooks.structure import refuse_unsound

MAX_VISITS: Final = 3

Record: TypeAlias = Callable[[StepEvent], None]


async def execute(
    runbook: Runbook,
    *,
    context: ExecutionContext,
    levers: Mapping[str, Lever],
    query: Query,
    record: Record,
    clock: Clock,
    reversals: Reversals | None = None,
) -> Execution:
    """Follow the page from its first step to its end, a stop or a failure; never raise for a step.

    Hand in `reversals` to be able to undo after a cancellation too. Mitigations stay in force until
    `undo`: after a failed check a half-working service must not get its fault back unasked.
    Raises before the first step: RunbookUnsound, PlaceholderUnfilled. What `record` raises goes through.
    """
    refuse_unsound(runbook, levers)
    _refuse_unfillable(runbook, context.labels)
    pending = Reversals() if reversals is None else reversals
    labels = dict(context.labels)
    run = _Run(runbook.id, runbook.steps, context, levers, query, record, clock, pending, labels)
    return await run.follow()


async def undo(
    execution: Execution | Reversals,
    *,
    context: ExecutionContext,
    levers: Mapping[str, Lever],
    record: Record,
    clock: Clock,
) -> bool:
    """Take back every mitigation still in force, the newest first; return whether none is left.

    A lever that fails is recorded and stays in force; the others are still taken back. Bounded by
    the steps' own limits. Can be called again.
    """
    reversals = execution.reversals if isinstance(execution, Execution) else execution
    for reversal in reversals.newest_first():
        event = await _take_back(reversal, context, levers, clock)
        if event.kind is EventKind.UNDONE:
            reversals.leave(reversal)
        record(event)
    return len(reversals) == 0


async def _take_back(
    reversal: Reversal, context: ExecutionContext, levers: Mapping[str, Lever], clock: Clock
) -> StepEvent:
    step, limit = reversal.step, reversal.timeout_seconds
    call = context.call(step.undo, step, limit, f"{reversal.runbook} undo of step")
    began = clock.monotonic()
    kind, seen, reason = EventKind.UNDONE, "", ""
    try:
        async with asyncio.timeout(limit):
            answer = await levers[call.name](call)
        seen = ", ".join(f"{name}={value}" for name, value in answer.items())[:200]
    except Exception as error:  # noqa: BLE001  # one broken lever must not keep the others in force
        kind, reason = EventKind.UNDO_FAILED, words(error)
    ended = clock.monotonic()
    return replace(
        _event(reversal.runbook, step, limit, began),
        kind=kind,
        at=ended,
        action=step.undo,
        expected="taken back",
        seen=seen,
        reason=reason,
        attempts=1,
        elapsed_seconds=ended - began,
        idempotency_key=call.idempotency_key,
    )


@dataclass(slots=True)
class _Run:
    """One execution; `labels` are the alert's and what was learned on the way."""

    runbook: str
    steps: tuple[Step, ...]
    context: ExecutionContext
    levers: Mapping[str, Lever]
    query: Query
    record: Record
    clock: Clock
    reversals: Reversals
    labels: dict[str, str]
    events: list[StepEvent] = field(default_factory=list)

    async def follow(self) -> Execution:
        places = {step.id: place for place, step in enumerate(self.steps)}
        visits = dict.fromkeys(places, 0)
        target = self.steps[0].id
        while target in places:
            step = self.steps[places[target]]
            visits[step.id] += 1
            if visits[step.id] > MAX_VISITS:
                return self._ended(Status.FAILED, f"{step.id} came up more than {MAX_VISITS} times")
            target = await self._perform(step, self._following(places[target]))
        last = self.events[-1]
        if target == END:
            return self._ended(Status.COMPLETED, "")
        errored = last.outcome is Outcome.ERRORED
        return self._ended(Status.FAILED if errored else Status.STOPPED, _complaint(last))

    def _following(self, place: int) -> str:
        return self.steps[place + 1].id if place + 1 < len(self.steps) else END

    def _ended(self, status: Status, reason: str) -> Execution:
        return Execution(self.runbook, status, reason, tuple(self.events), self.reversals)

    async def _perform(self, step: Step, following: str) -> str:
        limit = self.context.limit(step.within_seconds)
        began = self.clock.monotonic()
        try:
            step, unfilled = _filled(step, self.labels), ""
        except PlaceholderUnfilled as problem:
            unfilled = problem.what  # an arrow of the page led past the step that learns it
        base = _event(self.runbook, step, limit, began)
        self.record(base)
        look = Look(Outcome.ERRORED, "not done", unfilled) if unfilled else await self._do(step, limit)
        satisfied = look.outcome is Outcome.SATISFIED
        target = (step.next or following) if satisfied else (step.otherwise or ESCALATE)
        ended = self.clock.monotonic()
        event = replace(
            base,
            kind=EventKind.FINISHED,
            at=ended,
            outcome=look.outcome,
            seen=look.seen,
            reason=look.reason,
            samples=look.samples[:MAX_SAMPLES_KEPT],
            attempts=look.attempts,
            elapsed_seconds=ended - began,
            idempotency_key=look.idempotency_key,
            approved_by=look.approved_by,
            next=target,
        )
        self.events.append(event)
        self.record(event)
        return target

    async def _do(self, step: Step, limit: float) -> Look:
        if step.pulls_lever:
            return await pull(
                self.runbook, step, limit, context=self.context, levers=self.levers, reversals=self.reversals
            )
        look = await poll(step, limit, query=self.query, clock=self.clock)
        if step.learn in {"", *self.labels} or look.outcome is not Outcome.SATISFIED:
            return look
        values = {sample.labels.get(step.learn, "") for sample in look.samples}
        if len(values) != 1 or "" in values:
            return replace(look, outcome=Outcome.UNMET, reason=f"does not name one {step.learn}")
        self.labels[step.learn] = values.pop()
        return look


def _event(runbook: str, step: Step, limit: float, at: float) -> StepEvent:
    return StepEvent(
        kind=EventKind.STARTED,
        at=at,
        runbook=runbook,
        step=step.id,
        number=step.number,
        type=step.type,
        role=step.role,
        title=step.title,
        action=step.action,
        expected=str(step.expect),
        limit_seconds=limit,
    )


def _filled(step: Step, labels: Mapping[str, str]) -> Step:
    """Return the step with every placeholder replaced; raise PlaceholderUnfilled when one cannot be."""
    return replace(
        step,
        title=fill(step.title, labels),
        action=tuple(fill(text, labels) for text in step.action),
        undo=tuple(fill(text, labels) for text in step.undo),
        expect=step.expect.filled(labels) if isinstance(step.expect, LeverExpectation) else step.expect,
    )


def _refuse_unfillable(runbook: Runbook, labels: Mapping[str, str]) -> None:
    """Raise PlaceholderUnfilled for what neither the alert carries nor an earlier step learns."""
    known = dict(labels)
    for step in runbook.steps:
        _filled(step, known)
        if step.learn:
            known.setdefault(step.learn, "learned")


def _complaint(event: StepEvent) -> str:
    because = f" ({event.reason})" if event.reason else ""
    return f"step {event.number} {event.step}: expected {event.expected}, saw {event.seen}{because}"
