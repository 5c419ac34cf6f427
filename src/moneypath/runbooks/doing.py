"""Does one step: asks until the answer fits or the time is over, or pulls a lever once."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from moneypath.errors import MoneypathError
from moneypath.runbooks.context import ExecutionContext
from moneypath.runbooks.expectations import LeverExpectation, QueryExpectation, Verdict
from moneypath.runbooks.model import Approval, Step
from moneypath.runbooks.ports import Clock, Lever, LeverCall, LeverRefused, Query, Sample
from moneypath.runbooks.record import Outcome
from moneypath.runbooks.reversal import Reversal, Reversals

MAX_ATTEMPTS: Final = 1000
_LONGEST_LOOK_SECONDS: Final = 10.0
_SHORTEST_LOOK_SECONDS: Final = 1.0
_FASTEST_POLL_SECONDS: Final = 0.25
_SLOWEST_POLL_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Look:
    """What a step came to."""

    outcome: Outcome
    seen: str
    reason: str = ""
    samples: tuple[Sample, ...] = ()
    attempts: int = 1
    idempotency_key: str = ""
    approved_by: str = ""
    unchanged: bool = False  # a lever said that all was so before


async def poll(step: Step, limit: float, *, query: Query, clock: Clock) -> Look:
    """Ask until the answer satisfies or `limit` seconds are over; the last word is the last answer's.

    Takes at most `limit` plus one shortest look, and asks at most MAX_ATTEMPTS times, even when the
    clock stands still.
    """
    deadline = clock.monotonic() + limit
    pause = min(max(limit / 20, _FASTEST_POLL_SECONDS), _SLOWEST_POLL_SECONDS)
    for attempt in range(1, MAX_ATTEMPTS + 1):
        remaining = deadline - clock.monotonic()
        seconds = max(min(_LONGEST_LOOK_SECONDS, remaining), _SHORTEST_LOOK_SECONDS)
        look = replace(await _look(step, seconds, query), attempts=attempt)
        remaining = deadline - clock.monotonic()
        if look.outcome is Outcome.SATISFIED or remaining <= 0:
            break
        await clock.sleep(min(pause, remaining))
    return look


async def _look(step: Step, seconds: float, query: Query) -> Look:
    assert isinstance(step.expect, QueryExpectation)  # noqa: S101  # the loader pairs them
    try:
        async with asyncio.timeout(seconds):
            samples = tuple(await query(step.action[0]))
    except Exception as error:  # noqa: BLE001  # a query's every failure is the same: nothing is known
        return Look(Outcome.ERRORED, "no answer", words(error))
    verdict = step.expect.judge(samples)
    return Look(_met(verdict), verdict.seen, samples=samples)


async def pull(
    runbook: str,
    step: Step,
    limit: float,
    *,
    context: ExecutionContext,
    levers: Mapping[str, Lever],
    reversals: Reversals,
) -> Look:
    """Pull the step's lever once within `limit` seconds, and keep `reversals` true whatever happens.

    A step that is the exact opposite of one in force takes that one back instead of entering.
    """
    approved_by, objection = await _approval(step, limit, context)
    if objection:
        return Look(Outcome.REFUSED, "no approval", objection, attempts=0)
    call = context.call(step.action, step, limit, f"{runbook} step")
    opposite = reversals.taken_back_by(step)
    reversal = Reversal(runbook, step, limit)
    if opposite is None and step.undo:
        reversals.enter(reversal)
    look = await _answer(step, call, levers, limit)
    if opposite is not None and look.outcome is Outcome.SATISFIED:
        reversals.leave(opposite)
    if look.outcome is Outcome.REFUSED or look.unchanged:
        reversals.leave(reversal)
    return replace(look, idempotency_key=call.idempotency_key, approved_by=approved_by)


async def _answer(step: Step, call: LeverCall, levers: Mapping[str, Lever], limit: float) -> Look:
    assert isinstance(step.expect, LeverExpectation)  # noqa: S101  # the loader pairs them
    try:
        async with asyncio.timeout(limit):
            answer = await levers[call.name](call)
    except LeverRefused as error:
        return Look(Outcome.REFUSED, "refused", words(error))
    except Exception as error:  # noqa: BLE001  # whatever it was: the effect is unknown
        return Look(Outcome.ERRORED, "no answer, effect unknown", words(error))
    verdict = step.expect.judge(answer)
    unchanged = answer.get("changed") is False
    reason = "it was so before" if unchanged else ""
    return Look(_met(verdict), verdict.seen, reason, unchanged=unchanged)


async def _approval(step: Step, limit: float, context: ExecutionContext) -> tuple[str, str]:
    """Return the principal that agreed, or why there is none."""
    if step.approval is Approval.NONE:
        return "", ""
    if context.approve is None:
        return "", "nobody was there to agree as the second person"
    try:
        async with asyncio.timeout(limit):
            principal = await context.approve(step)
    except Exception as error:  # noqa: BLE001  # without an answer there is no approval
        return "", f"the second person did not answer: {words(error)}"
    return (principal, "") if principal else ("", "the second person did not agree")


def words(error: Exception) -> str:
    """Return an error as evidence: our own sentence, or only the type of a foreign one."""
    if isinstance(error, TimeoutError):
        return "timed out"
    return error.what[:300] if isinstance(error, MoneypathError) else type(error).__name__


def _met(verdict: Verdict) -> Outcome:
    return Outcome.SATISFIED if verdict.satisfied else Outcome.UNMET
