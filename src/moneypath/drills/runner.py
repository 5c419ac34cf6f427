"""Run one drill in ci mode: steady state, fault, response, repair, undo on every exit, ledger audit."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from moneypath.alerting.business_metrics import BusinessMetric
from moneypath.alerting.objective_counts import ObjectiveCounts
from moneypath.drills.actions_taken import ActionsTaken
from moneypath.drills.business import LISTED_AS, BusinessWatcher, Phase, listed
from moneypath.drills.conditions import FILL_ID, evaluate, wait_until_steady
from moneypath.drills.context import DrillContext
from moneypath.drills.faults import FaultControlFailed, Leases
from moneypath.drills.harm_watcher import HarmWatcher
from moneypath.drills.heartbeat import await_heartbeat, heartbeat_seconds
from moneypath.drills.objectives import OBJECTIVES_AS, listed_objectives, record_objectives
from moneypath.drills.parts import Condition
from moneypath.drills.responders import respond, undo_mitigations
from moneypath.drills.runbook_criteria import HOLDS_AS, listed_holds
from moneypath.drills.scenario import Scenario
from moneypath.drills.scoring import RULES, RULES_KEY
from moneypath.drills.service import DrilledService, Driven
from moneypath.drills.timetable import play
from moneypath.drills.watchers import AlertWatcher, PageWatcher
from moneypath.incidents.events import EventLog
from moneypath.incidents.manifest import origin
from moneypath.incidents.timeline import Kind
from moneypath.runbooks import OperatorAction, Query, Runbook
from moneypath.stack.supervisor import Supervisor

# Production time, which the scale shortens, and real seconds that it never falls below.
BEFORE_SECONDS: Final = 600.0
BEFORE_AT_LEAST: Final = 60.0
AFTER_SECONDS: Final = 1200.0
AFTER_AT_LEAST: Final = 45.0
GUARDRAIL_EVERY_SECONDS: Final = 1.0
# A cold start is not a measurement: an empty window makes every error ratio appear larger and earlier.
LEAST_FILL: Final = ">= 0.8"


@dataclass(frozen=True, slots=True)
class DrillEnvironment:
    """What a drill acts on and reads from; none of it is the service's own code.

    `query` takes windows in production time, as runbooks and drills write them. `window_fill` is the PromQL
    for the share of the longest alert window that holds samples. `folder` takes the acknowledgement logs and
    the logs of the load tests.
    """

    service: DrilledService
    runbook: Runbook
    actions: Mapping[str, OperatorAction]
    query: Query
    window_fill: str
    folder: Path
    reporting_currency: str
    business_metrics: tuple[BusinessMetric, ...]
    objectives: tuple[ObjectiveCounts, ...]


async def run_drill(
    scenario: Scenario, scenario_text: str, environment: DrillEnvironment, log: EventLog
) -> None:
    """Run the drill and record everything in `log`, from which alone the score is computed.

    However the drill ends, also when it is cancelled, faults are ended and mitigations undone first. A
    deviation (no steady state, no effect, a guardrail) ends it early and is recorded; it does not raise. A
    target, pager or Prometheus that is gone raises.
    """
    started = {
        "scenario": scenario_text,
        "scale": scenario.clock.scale,
        LISTED_AS: listed(environment.business_metrics),
        OBJECTIVES_AS: listed_objectives(environment.objectives),
        HOLDS_AS: listed_holds(environment.runbook),
        RULES_KEY: RULES,
        **environment.service.listed(),
        **origin(environment.folder),
    }
    log.append(Kind.DRILL_STARTED, scenario.title, started)
    load = environment.service.load(scenario, environment.folder)
    await environment.service.begin()
    async with AsyncExitStack() as stack:
        supervisor = await stack.enter_async_context(Supervisor(environment.folder))
        context = await _build_context(stack, scenario, environment, log, supervisor)
        begun_at = time.time()
        if load is not None:
            await supervisor.start(load)
        async with _watched(context, supervisor, environment.service) as pages:
            await _incident(context, pages, environment)
        planned = round((time.time() - begun_at) * scenario.load.checkouts_per_second)
        if load is not None:
            await supervisor.stop(load.name)
        await environment.service.record_witnesses(context, Driven(begun_at, planned))
    log.append(Kind.DRILL_ENDED, scenario.title)


async def _build_context(
    stack: AsyncExitStack,
    scenario: Scenario,
    environment: DrillEnvironment,
    log: EventLog,
    supervisor: Supervisor,
) -> DrillContext:
    service, folder = environment.service, environment.folder

    def log_ended(name: str, target: str) -> None:
        log.append(Kind.FAULT_ENDED, name, {"target": target})

    pager = await stack.enter_async_context(service.pager())
    canary = await stack.enter_async_context(service.canary(scenario, folder))
    leases = await stack.enter_async_context(
        Leases(
            service.exchange,
            seed=scenario.clock.seed,
            lease_seconds=scenario.guardrails.fault_ttl,
            on_ended=log_ended,
        )
    )
    actions_taken = ActionsTaken()
    return DrillContext(
        scenario,
        log,
        service.exchange,
        environment.runbook,
        actions_taken.watch(environment.actions),
        environment.query,
        pager,
        canary,
        leases,
        service.traffic(scenario, supervisor, folder, log_ended),
        BusinessWatcher(
            environment.business_metrics,
            environment.query,
            log,
            currency=environment.reporting_currency,
        ),
        actions_taken,
        folder,
        service.customers_log(folder),
    )


@contextlib.asynccontextmanager
async def _watched(
    context: DrillContext, supervisor: Supervisor, service: DrilledService
) -> AsyncIterator[PageWatcher]:
    """Watch alerts, pages, harm and the load; an error of a watcher ends the drill."""
    earlier = await context.pager.pages_after(0, wait_seconds=0)
    alerts = AlertWatcher(service.prometheus, context.log)
    pages = PageWatcher(context.pager, alerts, context.log)
    scenario = context.scenario
    harm = HarmWatcher(scenario.expect.harm, context.log, scale=scenario.clock.scale)
    async with asyncio.TaskGroup() as group:
        watchers = [
            group.create_task(alerts.run(), name="alerts"),
            group.create_task(pages.run(after=max((page.seq for page in earlier), default=0)), name="pages"),
            group.create_task(harm.run(context.query), name="harm"),
            group.create_task(context.business.run(), name="business metrics"),
            group.create_task(supervisor.watch(), name="load"),
        ]
        yield pages
        for watcher in watchers:
            watcher.cancel()


async def _incident(context: DrillContext, pages: PageWatcher, environment: DrillEnvironment) -> None:
    """Run the drill from steady state to steady state; return early when it deviates."""
    before = max(BEFORE_AT_LEAST, context.real(BEFORE_SECONDS))
    after = max(AFTER_AT_LEAST, context.real(AFTER_SECONDS))
    fill = Condition(id=FILL_ID, query=environment.window_fill, expect={"value": LEAST_FILL})
    beats = environment.service.beats
    if not await _steady(context, "before", before, (fill, *context.scenario.steady_state), beats=beats):
        return
    steady_since = context.log.now()
    await context.business.record(Phase.BEFORE)
    try:
        await _within_guardrails(context, _fault_and_responders(context, pages))
    finally:
        # Shielded: a Ctrl-C must not leave the service broken. Behind this stands the fault's lease.
        await asyncio.shield(_undo(context))
    await context.business.record(Phase.DURING)
    await _steady(context, "after", after, context.scenario.steady_state, beats=beats)
    await context.business.record(Phase.AFTER)
    await record_objectives(
        environment.objectives,
        context.query,
        context.log,
        since_mono=steady_since,
        scale=context.scenario.clock.scale,
    )
    await environment.service.probe(context)


async def _steady(
    context: DrillContext, phase: str, within_seconds: float, conditions: Sequence[Condition], *, beats: bool
) -> bool:
    seconds = heartbeat_seconds(context.scenario.clock.scale)
    dead = await await_heartbeat(context.pager, since=time.time(), within_seconds=seconds) if beats else ""
    held = await wait_until_steady(conditions, context.query, within_seconds=within_seconds)
    payload: dict[str, object] = {"phase": phase, "seen": dict(held.seen), "heartbeat": beats}
    problems = [dead] if dead else []
    problems += [f"{name} {seen}" for name, seen in held.unmet.items()]
    if problems:
        payload["reason"] = "; ".join(problems)
    context.log.append(Kind.STEADY_STATE_BROKEN if problems else Kind.STEADY_STATE, phase, payload)
    return not problems


async def _undo(context: DrillContext) -> None:
    """End every fault, then undo every mitigation; try all, and record how it went."""
    problem = ""
    try:
        await context.end_faults([step.id for step in context.scenario.timeline if step.id])
    except FaultControlFailed as error:
        problem = error.what
    mitigations = await undo_mitigations(context)
    if not mitigations:
        problem = problem or "a mitigation is still in force"
    context.log.append(Kind.UNDO, "faults and mitigations", {"ok": not problem, "reason": problem})


async def _fault_and_responders(context: DrillContext, pages: PageWatcher) -> None:
    """Play the timeline while the responders answer; stop when the fault has no effect.

    Responders that approve end when the others have ended.
    """
    scripts = context.scenario.responders
    async with asyncio.TaskGroup() as group:
        people = {
            role: group.create_task(
                respond(context, role, script, pages.queue(role)), name=f"responder {role}"
            )
            for role, script in scripts.items()
        }
        if await play(context):
            await asyncio.wait([people[role] for role, script in scripts.items() if not script.approves])
        for person in people.values():
            person.cancel()


async def _within_guardrails(context: DrillContext, work: Coroutine[None, None, None]) -> None:
    """Run `work` until it ends, a guardrail is hit or time is up; the log says which."""
    minutes = context.scenario.guardrails.max_minutes
    working = asyncio.create_task(work, name="fault and people")
    guarding = asyncio.create_task(_guardrail_hit(context), name="guardrails")
    try:
        done, _ = await asyncio.wait(
            {working, guarding}, timeout=context.real(minutes * 60), return_when=asyncio.FIRST_COMPLETED
        )
        if working in done:
            working.result()
        else:
            reason = guarding.result() if guarding in done else f"the drill was not over after {minutes} min"
            context.log.append(Kind.GUARDRAIL_HIT, "guardrail", {"reason": reason})
    finally:
        for task in (working, guarding):
            task.cancel()
        await asyncio.gather(working, guarding, return_exceptions=True)


async def _guardrail_hit(context: DrillContext) -> str:
    """Return the reason to abort the drill, as soon as there is one."""
    while True:
        if context.leases.lost:
            return f"a fault's lease could not be renewed: {context.leases.lost.what}"
        for condition in context.scenario.guardrails.abort_if:
            if not (await evaluate((condition,), context.query)).unmet:
                return f"{condition.id} came true"
        await asyncio.sleep(GUARDRAIL_EVERY_SECONDS)
