"""Execute a runbook step by step, record what each step saw, and undo its mitigations.

Nothing waits without a limit: every step has its `within`, and runs at most MAX_VISITS times.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from moneypath.runbooks.context import ExecutionContext
from moneypath.runbooks.model import END, ESCALATE, Runbook, Step
from moneypath.runbooks.pending_undos import PendingUndo, PendingUndos
from moneypath.runbooks.placeholders import PlaceholderUnfilled, fill
from moneypath.runbooks.ports import Clock, OperatorAction, Query
from moneypath.runbooks.record import (
    MAX_SAMPLES_KEPT,
    EventKind,
    Execution,
    Outcome,
    Status,
    StepEvent,
)
from moneypath.runbooks.step_runner import StepResult, describe_error, poll, run_action
from moneypath.runbooks.structure import refuse_unsound

MAX_VISITS: Final = 3

Record: TypeAlias = Callable[[StepEvent], None]


async def execute(
    runbook: Runbook,
    *,
    context: ExecutionContext,
    actions: Mapping[str, OperatorAction],
    query: Query,
    record: Record,
    clock: Clock,
    pending_undos: PendingUndos | None = None,
) -> Execution:
    """Execute the runbook from its first step to its end, a stop or a failure; a step never raises.

    Pass `pending_undos` to be able to undo after a cancellation too. Mitigations stay in force until `undo`:
    a failed check must not bring the fault back to a half-working service.
    Raises RunbookUnsound or PlaceholderUnfilled before the first step, and what `record` raises.
    """
    refuse_unsound(runbook, actions)
    _refuse_unfilled_placeholders(runbook, context.labels)
    pending = PendingUndos() if pending_undos is None else pending_undos
    labels = dict(context.labels)
    run = _Run(runbook.id, runbook.steps, context, actions, query, record, clock, pending, labels)
    return await run.follow()


async def undo(
    execution: Execution | PendingUndos,
    *,
    context: ExecutionContext,
    actions: Mapping[str, OperatorAction],
    record: Record,
    clock: Clock,
) -> bool:
    """Undo every mitigation in force, the newest first; return whether none is left.

    An undo that fails is recorded and the mitigation stays in force; the others are still undone. Each takes
    at most the limit of its step. Can be called again.
    """
    pending_undos = execution.pending_undos if isinstance(execution, Execution) else execution
    for pending_undo in pending_undos.newest_first():
        event = await _undo_one(pending_undo, context, actions, clock)
        if event.kind is EventKind.UNDONE:
            pending_undos.remove(pending_undo)
        record(event)
    return len(pending_undos) == 0


async def _undo_one(
    pending_undo: PendingUndo, context: ExecutionContext, actions: Mapping[str, OperatorAction], clock: Clock
) -> StepEvent:
    step, limit = pending_undo.step, pending_undo.timeout_seconds
    call = context.call(step.undo, step, limit, f"{pending_undo.runbook} undo of step")
    began = clock.monotonic()
    kind, seen, reason = EventKind.UNDONE, "", ""
    try:
        async with asyncio.timeout(limit):
            answer = await actions[call.name](call)
        seen = ", ".join(f"{name}={value}" for name, value in answer.items())[:200]
    except Exception as error:  # noqa: BLE001  # one broken action must not keep the others in force
        kind, reason = EventKind.UNDO_FAILED, describe_error(error)
    ended = clock.monotonic()
    return replace(
        _event(pending_undo.runbook, step, limit, began),
        kind=kind,
        at=ended,
        instruction=step.undo,
        expected="taken back",
        seen=seen,
        reason=reason,
        attempts=1,
        elapsed_seconds=ended - began,
        idempotency_key=call.idempotency_key,
    )


@dataclass(slots=True)
class _Run:
    """One execution; `labels` are the alert's and those that steps have bound."""

    runbook: str
    steps: tuple[Step, ...]
    context: ExecutionContext
    actions: Mapping[str, OperatorAction]
    query: Query
    record: Record
    clock: Clock
    pending_undos: PendingUndos
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
        return self._ended(Status.FAILED if errored else Status.STOPPED, _failure_reason(last))

    def _following(self, place: int) -> str:
        return self.steps[place + 1].id if place + 1 < len(self.steps) else END

    def _ended(self, status: Status, reason: str) -> Execution:
        return Execution(self.runbook, status, reason, tuple(self.events), self.pending_undos)

    async def _perform(self, step: Step, following: str) -> str:
        limit = self.context.limit(step.within_seconds)
        began = self.clock.monotonic()
        try:
            step, unfilled = _filled(step, self.labels), ""
        except PlaceholderUnfilled as problem:
            unfilled = problem.what  # a `next` skipped the step that binds it
        base = _event(self.runbook, step, limit, began)
        self.record(base)
        result = (
            StepResult(Outcome.ERRORED, "not done", unfilled) if unfilled else await self._do(step, limit)
        )
        satisfied = result.outcome is Outcome.SATISFIED
        target = (step.next or following) if satisfied else (step.otherwise or ESCALATE)
        ended = self.clock.monotonic()
        event = replace(
            base,
            kind=EventKind.FINISHED,
            at=ended,
            outcome=result.outcome,
            seen=result.seen,
            reason=result.reason,
            samples=result.samples[:MAX_SAMPLES_KEPT],
            attempts=result.attempts,
            elapsed_seconds=ended - began,
            idempotency_key=result.idempotency_key,
            approved_by=result.approved_by,
            held=result.held,
            next=target,
        )
        self.events.append(event)
        self.record(event)
        return target

    async def _do(self, step: Step, limit: float) -> StepResult:
        if step.is_action:
            return await run_action(
                self.runbook,
                step,
                limit,
                context=self.context,
                actions=self.actions,
                pending_undos=self.pending_undos,
            )
        result = await poll(step, limit, context=self.context, query=self.query, clock=self.clock)
        if step.bind in {"", *self.labels} or result.outcome is not Outcome.SATISFIED:
            return result
        values = {sample.labels.get(step.bind, "") for sample in result.samples}
        if len(values) != 1 or "" in values:
            return replace(result, outcome=Outcome.UNMET, reason=f"does not name one {step.bind}")
        self.labels[step.bind] = values.pop()
        return result


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
        instruction=step.instruction,
        expected=str(step.expect),
        limit_seconds=limit,
        approval=step.approval,
    )


def _filled(step: Step, labels: Mapping[str, str]) -> Step:
    """Return the step with every placeholder replaced; raise PlaceholderUnfilled when one has no value."""
    return replace(
        step,
        title=fill(step.title, labels),
        instruction=tuple(fill(text, labels) for text in step.instruction),
        undo=tuple(fill(text, labels) for text in step.undo),
        expect=step.expect.filled(labels),
    )


def _refuse_unfilled_placeholders(runbook: Runbook, labels: Mapping[str, str]) -> None:
    """Raise PlaceholderUnfilled for a placeholder that neither the alert nor an earlier step fills."""
    known = dict(labels)
    for step in runbook.steps:
        _filled(step, known)
        if step.bind:
            known.setdefault(step.bind, "bound")


def _failure_reason(event: StepEvent) -> str:
    because = f" ({event.reason})" if event.reason else ""
    return f"step {event.number} {event.step}: expected {event.expected}, saw {event.seen}{because}"
