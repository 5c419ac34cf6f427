"""Scripted responders: each reads the pages to its own role and acknowledges; one follows the runbook."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final

from moneypath.drills.approver import approve
from moneypath.drills.context import DrillContext
from moneypath.drills.scenario import Responder
from moneypath.incidents.events import Actor
from moneypath.incidents.paging import Page, PagedAlert
from moneypath.incidents.timeline import Kind
from moneypath.runbooks import EventKind, StepEvent, SystemClock, execute, undo

PAGE_WAIT_FACTOR: Final = 2.0
"""A role stops listening after this multiple of the time within which it should have been paged."""


async def respond(context: DrillContext, role: str, script: Responder, pages: asyncio.Queue[Page]) -> None:
    """Acknowledge each page that the role has to get, and follow the runbook if so scripted.

    The runbook is followed for the first alert that leads to it. A responder that approves does so until
    cancelled. A page that never comes raises nothing here: the score finds that it is missing from the log.
    """
    follow: asyncio.Future[tuple[Actor, PagedAlert] | None] = asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as group:
        group.create_task(_acknowledge_all(context, role, script, pages, follow), name=f"pager of {role}")
        taken = await follow
        if taken is None:
            return
        actor, alert = taken
        if script.follows:
            await _follow_runbook(context, actor, alert.labels)
        if script.approves:
            await approve(context, actor)


async def _acknowledge_all(
    context: DrillContext,
    role: str,
    script: Responder,
    pages: asyncio.Queue[Page],
    follow: "asyncio.Future[tuple[Actor, PagedAlert] | None]",
) -> None:
    """Acknowledge the expected pages of a role; tell `follow` the first that its script is about, or none."""
    expected = {page.alert: page.within for page in context.scenario.expect.pages if page.role == role}
    leading = set(context.runbook.front.triggers) if script.follows else set(expected)

    async def acknowledge(page: Page, alerts: Sequence[PagedAlert]) -> None:
        actor = await _acknowledge(context, role, script, page, alerts)
        for alert in alerts:
            if alert.name in leading and not follow.done():
                follow.set_result((actor, alert))

    try:
        # One page does not wait for the acknowledgement of another.
        async with asyncio.TaskGroup() as group:
            async for page, alerts in _awaited(context, expected, pages):
                group.create_task(acknowledge(page, alerts), name=f"acknowledgement by {role}")
    finally:
        if not follow.done():
            follow.set_result(None)


async def _awaited(
    context: DrillContext, expected: Mapping[str, float], pages: asyncio.Queue[Page]
) -> AsyncIterator[tuple[Page, list[PagedAlert]]]:
    """Yield each page with the expected alerts that it is the first to bring, until none is awaited."""
    left = set(expected)
    until = asyncio.get_running_loop().time() + context.real(max(expected.values())) * PAGE_WAIT_FACTOR
    while left:
        try:
            async with asyncio.timeout_at(until):
                page = await pages.get()
        except TimeoutError:
            return  # the score names the page that is missing
        alerts = [alert for alert in page.alerts if alert.name in left]
        left -= {alert.name for alert in alerts}
        if alerts:
            yield page, alerts


async def _acknowledge(
    context: DrillContext, role: str, script: Responder, page: Page, alerts: Sequence[PagedAlert]
) -> Actor:
    await asyncio.sleep(context.real(script.ack_after))
    principal = await context.pager.acknowledge(page, role, context.log.head)
    actor = Actor(role=role, principal=principal, simulated=True)
    for alert in alerts:
        payload = {"page": page.seq, "role": role, "alert": alert.name}
        context.log.append(Kind.PAGE_ACKNOWLEDGED, alert.name, payload, actor=actor, source="responder")
    return actor


async def undo_mitigations(context: DrillContext) -> bool:
    """Undo every mitigation that the runbook left in force; return whether none is left."""

    def record(event: StepEvent) -> None:
        context.log.append(Kind.RUNBOOK_STEP, event.step, event.payload(), source="runbook")

    return await undo(
        context.pending_undos,
        context=context.execution_context({}),
        actions=context.actions,
        record=record,
        clock=SystemClock(),
    )


async def _follow_runbook(context: DrillContext, actor: Actor, labels: Mapping[str, str]) -> None:
    runbook, log = context.runbook, context.log
    log.append(Kind.RUNBOOK_STARTED, runbook.id, {"steps": len(runbook.steps)}, actor=actor)

    def record(event: StepEvent) -> None:
        if event.kind is not EventKind.STARTED:
            log.append(Kind.RUNBOOK_STEP, event.step, event.payload(), actor=actor, source="runbook")

    execution = await execute(
        runbook,
        context=context.execution_context(labels),
        actions=context.actions,
        query=context.query,
        record=record,
        clock=SystemClock(),
        pending_undos=context.pending_undos,
    )
    payload = {"status": execution.status.value, "reason": execution.reason}
    log.append(Kind.RUNBOOK_ENDED, runbook.id, payload, actor=actor)
