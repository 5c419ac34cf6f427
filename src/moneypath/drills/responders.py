"""Scripted responders: each reads the pages to its own role and acknowledges; one follows the runbook."""

import asyncio
from collections.abc import Mapping
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
    """Wait for a relevant page, acknowledge it after `ack_after`, and follow the runbook if so scripted.

    A responder that approves does so until cancelled. A page that never comes raises nothing here: the score
    finds that it is missing from the log.
    """
    alert_in_page = await _first_relevant(context, role, pages)
    if alert_in_page is None:
        return
    page, alert = alert_in_page
    await asyncio.sleep(context.real(script.ack_after))
    principal = await context.pager.acknowledge(page, context.role_token(role), context.log.head)
    actor = Actor(role=role, principal=principal, simulated=True)
    payload = {"page": page.seq, "role": role}
    context.log.append(Kind.PAGE_ACKNOWLEDGED, alert.name, payload, actor=actor, source="responder")
    if script.follows:
        await _follow_runbook(context, actor, alert.labels)
    if script.approves:
        await approve(context, actor)


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


async def _first_relevant(
    context: DrillContext, role: str, pages: asyncio.Queue[Page]
) -> tuple[Page, PagedAlert] | None:
    relevant = {alert.name for alert in context.scenario.expect.alerts}
    expected = next(page for page in context.scenario.expect.pages if page.role == role)
    try:
        async with asyncio.timeout(context.real(expected.within) * PAGE_WAIT_FACTOR):
            while True:
                page = await pages.get()
                for alert in page.alerts:
                    if alert.name in relevant:
                        return page, alert
    except TimeoutError:
        return None


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
