"""Runs one drill in ci mode: steady state, fault, people, repair, undo on every exit, truth."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from moneypath.drills import truth
from moneypath.drills.attacks import Attacks
from moneypath.drills.business import BusinessWatcher, Phase
from moneypath.drills.canary import Canary
from moneypath.drills.conditions import FILL_ID, look, wait_until_steady
from moneypath.drills.course import Course
from moneypath.drills.faults import FaultControl, FaultControlFailed, Leases
from moneypath.drills.heartbeat import silence
from moneypath.drills.load import LoadPlan
from moneypath.drills.parts import Condition
from moneypath.drills.people import respond, take_back_mitigations
from moneypath.drills.scenario import Scenario
from moneypath.drills.timetable import play
from moneypath.drills.watchers import AlertWatcher, PageWatcher, watch_harm
from moneypath.incidents.events import EventLog
from moneypath.incidents.paging import Pager
from moneypath.incidents.timeline import Kind
from moneypath.runbooks import Lever, Query, Runbook
from moneypath.stack.endpoints import Endpoints
from moneypath.stack.supervisor import Supervisor

BEFORE_SECONDS: Final = 60.0
AFTER_SECONDS: Final = 45.0
DRAIN_SECONDS: Final = 45.0
GUARDRAIL_EVERY_SECONDS: Final = 1.0
HEARTBEAT_SECONDS: Final = 20.0
# A cold start is not a measurement: an empty window makes every error ratio look larger and earlier.
LEAST_FILL: Final = ">= 0.8"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """All that a drill acts on and reads from; nothing of it is the service's own code.

    `query` takes windows in production time, as pages and drills write them. `window_fill` is the PromQL
    for the share of the longest alert window that holds samples; `folder` takes the clients' journals and
    their logs.
    """

    project: Path
    endpoints: Endpoints
    runbook: Runbook
    levers: Mapping[str, Lever]
    query: Query
    window_fill: str
    folder: Path
    reporting_currency: str


async def run_drill(scenario: Scenario, scenario_text: str, around: Surroundings, log: EventLog) -> None:
    """Run the drill and leave all that happened in `log`; the score is computed from that alone.

    Whatever ends the drill, cancellation included, faults are ended and mitigations taken back first.
    A deviation (no steady state, no effect, a guardrail) ends it early and stands in the log; it does
    not raise. What raises is the drill's own trouble: a target, pager or Prometheus that is gone.
    """
    log.append(Kind.DRILL_STARTED, scenario.title, {"scenario": scenario_text, "scale": scenario.clock.scale})
    plan = LoadPlan(
        around.project, around.endpoints, around.folder / "journal.jsonl", scenario.load, scenario.clock.seed
    )
    async with AsyncExitStack() as stack:
        supervisor = await stack.enter_async_context(Supervisor(around.folder))
        course = await _course(stack, scenario, around, log, supervisor)
        await supervisor.start(plan.spec())
        async with _watched(course, supervisor) as pages:
            await _incident(course, pages, around.window_fill)
        await supervisor.stop(plan.spec().name)
        journals = (plan.journal_file, *course.attacks.journals)
        await truth.record(around.endpoints, journals, log, drain_seconds=DRAIN_SECONDS)
    log.append(Kind.DRILL_ENDED, scenario.title)


async def _course(
    stack: AsyncExitStack, scenario: Scenario, around: Surroundings, log: EventLog, supervisor: Supervisor
) -> Course:
    endpoints, secrets = around.endpoints, around.endpoints.secrets_folder
    pager = await stack.enter_async_context(Pager(endpoints.pager))
    canary = await stack.enter_async_context(
        Canary(endpoints.refpay, secrets / "canary_client", scenario.card_range)
    )
    controls = {
        name: await stack.enter_async_context(FaultControl(name, url, secrets / f"{name}_control_token"))
        for name, url in endpoints.acquirers.items()
    }
    leases = await stack.enter_async_context(
        Leases(
            controls,
            seed=scenario.clock.seed,
            lease_seconds=scenario.guardrails.fault_ttl,
            on_ended=lambda name, target: _note(log, name, target),
        )
    )
    attacks = Attacks(
        supervisor,
        around.project,
        endpoints,
        around.folder,
        scenario.clock.seed,
        on_ended=lambda name, target: _note(log, name, target),
    )
    return Course(
        scenario,
        log,
        endpoints,
        around.runbook,
        around.levers,
        around.query,
        pager,
        canary,
        leases,
        attacks,
        BusinessWatcher(around.query, log, currency=around.reporting_currency),
    )


def _note(log: EventLog, name: str, target: str) -> None:
    log.append(Kind.FAULT_ENDED, name, {"target": target})


@contextlib.asynccontextmanager
async def _watched(course: Course, supervisor: Supervisor) -> AsyncIterator[PageWatcher]:
    """Watch alerts, pages, harm and the load; a watcher that fails ends the drill with its error."""
    earlier = await course.pager.pages_after(0, wait_seconds=0)
    alerts = AlertWatcher(course.endpoints.prometheus, course.log)
    pages = PageWatcher(course.pager, alerts, course.log)
    async with asyncio.TaskGroup() as group:
        watchers = [
            group.create_task(alerts.run(), name="alerts"),
            group.create_task(pages.run(after=max((page.seq for page in earlier), default=0)), name="pages"),
            group.create_task(watch_harm(course.scenario.expect.harm, course.query, course.log), name="harm"),
            group.create_task(course.business.run(), name="business metrics"),
            group.create_task(supervisor.watch(), name="load"),
        ]
        yield pages
        for watcher in watchers:
            watcher.cancel()


async def _incident(course: Course, pages: PageWatcher, window_fill: str) -> None:
    """From steady state to steady state; returns early when the drill deviates."""
    fill = Condition(id=FILL_ID, query=window_fill, expect={"value": LEAST_FILL})
    if not await _steady(course, "before", BEFORE_SECONDS, (fill, *course.scenario.steady_state)):
        return
    await course.business.record(Phase.BEFORE)
    try:
        await _within_guardrails(course, _fault_and_people(course, pages))
    finally:
        # Shielded: a Ctrl-C must not leave the service broken. Behind this stands the fault's lease.
        await asyncio.shield(_undo(course))
    await course.business.record(Phase.DURING)
    await _steady(course, "after", AFTER_SECONDS, course.scenario.steady_state)
    await course.business.record(Phase.AFTER)


async def _steady(course: Course, phase: str, within_seconds: float, conditions: Sequence[Condition]) -> bool:
    dead = await silence(course.pager, since=time.time(), within_seconds=HEARTBEAT_SECONDS)
    held = await wait_until_steady(conditions, course.query, within_seconds=within_seconds)
    payload: dict[str, object] = {"phase": phase, "seen": dict(held.seen)}
    problems = [dead] if dead else []
    problems += [f"{name} {seen}" for name, seen in held.unmet.items()]
    if problems:
        payload["reason"] = "; ".join(problems)
    course.log.append(Kind.STEADY_STATE_BROKEN if problems else Kind.STEADY_STATE, phase, payload)
    return not problems


async def _undo(course: Course) -> None:
    """End every fault, then take every mitigation back; each is tried, and the log says how it went."""
    problem = ""
    try:
        await course.end_faults([step.id for step in course.scenario.timeline if step.id])
    except FaultControlFailed as error:
        problem = error.what
    mitigations = await take_back_mitigations(course)
    if not mitigations:
        problem = problem or "a mitigation is still in force"
    course.log.append(Kind.UNDO, "faults and mitigations", {"ok": not problem, "reason": problem})


async def _fault_and_people(course: Course, pages: PageWatcher) -> None:
    """Play the timeline while the people answer; without an effect there is nothing to answer.

    Those who approve are there for the others, and leave with them.
    """
    scripts = course.scenario.responders
    async with asyncio.TaskGroup() as group:
        people = {
            role: group.create_task(
                respond(course, role, script, pages.queue(role)), name=f"responder {role}"
            )
            for role, script in scripts.items()
        }
        if await play(course):
            await asyncio.wait([people[role] for role, script in scripts.items() if not script.approves])
        for person in people.values():
            person.cancel()


async def _within_guardrails(course: Course, work: Coroutine[None, None, None]) -> None:
    """Run `work` until it ends, a guardrail is hit (which the log then says), or time is up."""
    minutes = course.scenario.guardrails.max_minutes
    working = asyncio.create_task(work, name="fault and people")
    guarding = asyncio.create_task(_guardrail_hit(course), name="guardrails")
    try:
        done, _ = await asyncio.wait(
            {working, guarding}, timeout=course.real(minutes * 60), return_when=asyncio.FIRST_COMPLETED
        )
        if working in done:
            working.result()
        else:
            reason = guarding.result() if guarding in done else f"the drill was not over after {minutes} min"
            course.log.append(Kind.GUARDRAIL_HIT, "guardrail", {"reason": reason})
    finally:
        for task in (working, guarding):
            task.cancel()
        await asyncio.gather(working, guarding, return_exceptions=True)


async def _guardrail_hit(course: Course) -> str:
    """Return why the drill must be aborted, as soon as there is a reason."""
    while True:
        if course.leases.lost:
            return f"a fault's lease could not be renewed: {course.leases.lost.what}"
        for condition in course.scenario.guardrails.abort_if:
            if not (await look((condition,), course.query)).unmet:
                return f"{condition.id} came true"
        await asyncio.sleep(GUARDRAIL_EVERY_SECONDS)
