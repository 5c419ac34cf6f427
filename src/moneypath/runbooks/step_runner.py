"""Run one step: repeat its query until the answer fits or time is up, or run its operator action once."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from tenacity import AsyncRetrying, retry_if_not_result

from moneypath.errors import MoneypathError
from moneypath.polling import last_answer
from moneypath.prometheus import Sample
from moneypath.runbooks.context import ExecutionContext
from moneypath.runbooks.expectations import ActionExpectation, ExpectationResult, QueryExpectation
from moneypath.runbooks.holding import Held, Hold, HoldTracker, counted
from moneypath.runbooks.model import Approval, Step
from moneypath.runbooks.pending_undos import PendingUndo, PendingUndos
from moneypath.runbooks.ports import ActionCall, ActionRefused, Clock, OperatorAction, Query
from moneypath.runbooks.record import Outcome

MAX_ATTEMPTS: Final = 1000
_LONGEST_QUERY_SECONDS: Final = 10.0
_SHORTEST_QUERY_SECONDS: Final = 1.0
_FASTEST_POLL_SECONDS: Final = 0.25
_SLOWEST_POLL_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class StepResult:
    """The result of running a step."""

    outcome: Outcome
    seen: str
    reason: str = ""
    samples: tuple[Sample, ...] = ()
    attempts: int = 1
    idempotency_key: str = ""
    approved_by: str = ""
    held: Held | None = None
    unchanged: bool = False  # an operator action said that all was so before


async def poll(
    step: Step, limit: float, *, context: ExecutionContext, query: Query, clock: Clock
) -> StepResult:
    """Repeat the query until its answer fits or `limit` seconds are over; the last answer counts.

    An answer that has to hold fits once it has stayed right for its time and on its events. Takes at most
    `limit` plus the shortest query time, and asks at most MAX_ATTEMPTS times even when the clock stands
    still.
    """
    deadline = clock.monotonic() + limit
    shortest = min(limit, context.hold_seconds(step.hold)) if step.hold else limit
    pause = min(max(shortest / 20, _FASTEST_POLL_SECONDS), _SLOWEST_POLL_SECONDS)
    attempts, tracker = 0, HoldTracker()

    async def ask() -> StepResult:
        nonlocal attempts
        attempts += 1
        remaining = deadline - clock.monotonic()
        seconds = max(min(_LONGEST_QUERY_SECONDS, remaining), _SHORTEST_QUERY_SECONDS)
        result = await _ask_once(step, seconds, query)
        if step.hold is None:
            return result
        return await _ask_evidence(step.hold, result, tracker, context, query, seconds, clock)

    retrying = AsyncRetrying(
        retry=retry_if_not_result(lambda result: result.outcome is Outcome.SATISFIED),
        stop=lambda state: state.attempt_number >= MAX_ATTEMPTS or clock.monotonic() >= deadline,
        wait=lambda _: min(pause, deadline - clock.monotonic()),
        sleep=clock.sleep,
        retry_error_callback=last_answer,
    )
    return replace(await retrying(ask), attempts=attempts)


async def _ask_once(step: Step, seconds: float, query: Query) -> StepResult:
    assert isinstance(step.expect, QueryExpectation)  # noqa: S101  # the loader pairs them
    try:
        async with asyncio.timeout(seconds):
            samples = tuple(await query(step.instruction[0]))
    except Exception as error:  # noqa: BLE001  # a query's every failure is the same: nothing is known
        return StepResult(Outcome.ERRORED, "no answer", describe_error(error))
    result = step.expect.evaluate(samples)
    return StepResult(_outcome(result), result.seen, samples=samples)


async def _ask_evidence(
    hold: Hold,
    result: StepResult,
    tracker: HoldTracker,
    context: ExecutionContext,
    query: Query,
    seconds: float,
    clock: Clock,
) -> StepResult:
    """Return `result`, unmet until it has held for long enough and on enough events."""
    right, count = result.outcome is Outcome.SATISFIED, None
    try:
        async with asyncio.timeout(seconds):
            count = counted(await query(hold.counter)) if right else None
    except Exception as error:  # noqa: BLE001  # a query's every failure is the same: nothing is known
        result = replace(result, outcome=Outcome.ERRORED, reason=f"no evidence: {describe_error(error)}")
    held = tracker.look(right=right, count=count, at=clock.monotonic())
    if not right or result.outcome is Outcome.ERRORED:
        return replace(result, held=held)
    needed = context.hold_seconds(hold)
    if held.satisfies(needed, hold.min_events):
        return replace(result, held=held)
    reason = (
        f"so for {held.seconds:.1f} s of {needed:.1f} s, on {held.events:.0f} of {hold.min_events} events"
    )
    return replace(result, outcome=Outcome.UNMET, reason=reason, held=held)


async def run_action(
    runbook: str,
    step: Step,
    limit: float,
    *,
    context: ExecutionContext,
    actions: Mapping[str, OperatorAction],
    pending_undos: PendingUndos,
) -> StepResult:
    """Run the step's operator action once within `limit` seconds, and keep `pending_undos` up to date.

    A step that exactly undoes a mitigation in force removes it, and does not add itself.
    """
    approved_by, objection = await _approval(step, limit, context)
    if objection:
        return StepResult(Outcome.REFUSED, "no approval", objection, attempts=0)
    call = context.call(step.instruction, step, limit, f"{runbook} step")
    opposite = pending_undos.undone_by(step)
    pending_undo = PendingUndo(runbook, step, limit)
    if opposite is None and step.undo:
        pending_undos.add(pending_undo)
    result = await _answer(step, call, actions, limit)
    if opposite is not None and result.outcome is Outcome.SATISFIED:
        pending_undos.remove(opposite)
    if result.outcome is Outcome.REFUSED or result.unchanged:
        pending_undos.remove(pending_undo)
    return replace(result, idempotency_key=call.idempotency_key, approved_by=approved_by)


async def _answer(
    step: Step, call: ActionCall, actions: Mapping[str, OperatorAction], limit: float
) -> StepResult:
    assert isinstance(step.expect, ActionExpectation)  # noqa: S101  # the loader pairs them
    try:
        async with asyncio.timeout(limit):
            answer = await actions[call.name](call)
    except ActionRefused as error:
        return StepResult(Outcome.REFUSED, "refused", describe_error(error))
    except Exception as error:  # noqa: BLE001  # whatever it was: the effect is unknown
        return StepResult(Outcome.ERRORED, "no answer, effect unknown", describe_error(error))
    result = step.expect.evaluate(answer)
    unchanged = answer.get("changed") is False
    reason = "it was so before" if unchanged else ""
    return StepResult(_outcome(result), result.seen, reason, unchanged=unchanged)


async def _approval(step: Step, limit: float, context: ExecutionContext) -> tuple[str, str]:
    """Return the principal that approved, or the reason why nobody did."""
    if step.approval is not Approval.SECOND_PERSON:
        return "", ""
    if context.approve is None:
        return "", "nobody was there to agree as the second person"
    try:
        async with asyncio.timeout(limit):
            principal = await context.approve(step)
    except Exception as error:  # noqa: BLE001  # without an answer there is no approval
        return "", f"the second person did not answer: {describe_error(error)}"
    return (principal, "") if principal else ("", "the second person did not agree")


def describe_error(error: Exception) -> str:
    """Return an error as evidence: our own sentence, or only the type of a foreign error."""
    if isinstance(error, TimeoutError):
        return "timed out"
    return error.what[:300] if isinstance(error, MoneypathError) else type(error).__name__


def _outcome(result: ExpectationResult) -> Outcome:
    return Outcome.SATISFIED if result.satisfied else Outcome.UNMET
