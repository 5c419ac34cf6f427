"""Scripted people: each hears only the pages of its own role, acknowledges, and one follows the runbook."""

import asyncio
from collections.abc import Mapping
from typing import Final

from moneypath.drills.approving import approve
from moneypath.drills.course import Course
from moneypath.drills.scenario import Responder
from moneypath.incidents.events import Actor
from moneypath.incidents.paging import Page, PagedAlert
from moneypath.incidents.timeline import Kind
from moneypath.runbooks import EventKind, StepEvent, SystemClock, execute, undo

PATIENCE: Final = 2.0
"""A role stops listening after this multiple of the time within which it should have been paged."""


async def respond(course: Course, role: str, script: Responder, pages: asyncio.Queue[Page]) -> None:
    """Wait for a relevant page, acknowledge it after the time a person takes, follow the runbook if told.

    Who approves does so until cancelled. A page that never comes is no error here: the score finds it
    missing from the log.
    """
    alert_in_page = await _first_relevant(course, role, pages)
    if alert_in_page is None:
        return
    page, alert = alert_in_page
    await asyncio.sleep(course.real(script.ack_after))
    principal = await course.pager.acknowledge(page, course.role_token(role))
    actor = Actor(role=role, principal=principal, simulated=True)
    payload = {"page": page.seq, "role": role}
    course.log.append(Kind.PAGE_ACKNOWLEDGED, alert.name, payload, actor=actor, source="responder")
    if script.follows:
        await _follow_runbook(course, actor, alert.labels)
    if script.approves:
        await approve(course, actor)


async def take_back_mitigations(course: Course) -> bool:
    """Undo every mitigation that the runbook left in force; return whether none is left."""

    def record(event: StepEvent) -> None:
        course.log.append(Kind.RUNBOOK_STEP, event.step, event.payload(), source="runbook")

    return await undo(
        course.reversals, context=course.context({}), levers=course.levers, record=record, clock=SystemClock()
    )


async def _first_relevant(
    course: Course, role: str, pages: asyncio.Queue[Page]
) -> tuple[Page, PagedAlert] | None:
    relevant = {alert.name for alert in course.scenario.expect.alerts}
    expected = next(page for page in course.scenario.expect.pages if page.role == role)
    try:
        async with asyncio.timeout(course.real(expected.within) * PATIENCE):
            while True:
                page = await pages.get()
                for alert in page.alerts:
                    if alert.name in relevant:
                        return page, alert
    except TimeoutError:
        return None


async def _follow_runbook(course: Course, actor: Actor, labels: Mapping[str, str]) -> None:
    runbook, log = course.runbook, course.log
    log.append(Kind.RUNBOOK_STARTED, runbook.id, {"steps": len(runbook.steps)}, actor=actor)

    def record(event: StepEvent) -> None:
        if event.kind is not EventKind.STARTED:
            log.append(Kind.RUNBOOK_STEP, event.step, event.payload(), actor=actor, source="runbook")

    execution = await execute(
        runbook,
        context=course.context(labels),
        levers=course.levers,
        query=course.query,
        record=record,
        clock=SystemClock(),
        reversals=course.reversals,
    )
    payload = {"status": execution.status.value, "reason": execution.reason}
    log.append(Kind.RUNBOOK_ENDED, runbook.id, payload, actor=actor)
