"""Play a drill's timeline: begin and end faults, at times counted from the effect of the first."""

import asyncio
from typing import Final

from moneypath.drills.context import DrillContext
from moneypath.drills.effect import CustomersLog, EffectWatcher
from moneypath.drills.faults import THE_SERVICE
from moneypath.drills.scenario import EffectiveWhen
from moneypath.drills.timeline_entry import TargetKind, TimelineEntry
from moneypath.incidents.timeline import Kind
from moneypath.polling import poll_until

EFFECT_SECONDS: Final = 20.0
ASK_EVERY_SECONDS: Final = 0.1


async def play(context: DrillContext) -> bool:
    """Begin and end every fault; return False when the first had no effect, or nobody could tell.

    Entries at the time of the first begin at once. Later entries count from t0, when the fault took effect.
    """
    steps, opening = context.scenario.timeline, context.scenario.opening
    file = context.customers_log_file
    customers = None if file is None else CustomersLog(file)
    watcher = EffectWatcher(customers, context.canary, context.log, context.scenario.effects)
    if not await _canaries_are_well(context):
        return False
    for step in opening:
        await _perform(context, step)
    t0 = await _effect(context, watcher)
    if t0 is None:
        return False
    loop = asyncio.get_running_loop()
    for step in steps[len(opening) :]:
        await asyncio.sleep(max(0.0, t0 + context.real(step.at - steps[0].at) - loop.time()))
        await _perform(context, step)
    return True


async def _canaries_are_well(context: DrillContext) -> bool:
    """Return whether no canary shows the fault before it begins: such a one would prove any fault."""
    if context.scenario.effective_when is not EffectiveWhen.CANARY_HARMED:
        return True
    results = await context.canary.batch()
    harmed = [each.status for each in results if each.shows(context.scenario.effects)]
    if harmed:
        status = harmed[0] or "no answer"
        reason = (
            f"{len(harmed)} of {len(results)} canaries showed it before it began, the first with {status}"
        )
        context.log.append(Kind.FAULT_INEFFECTIVE, "canary", {"reason": reason})
    return not harmed


async def _perform(context: DrillContext, step: TimelineEntry) -> None:
    if step.end:
        await context.end_faults(step.end)
        return
    if step.target_kind is TargetKind.TRAFFIC:
        await context.traffic.begin(step)
    else:
        await context.leases.begin(step)
    params = step.params.given if step.params else {}
    payload = {**params, "fault": step.fault, "target": step.target or THE_SERVICE}
    context.log.append(Kind.FAULT_COMMANDED, str(step.id), payload)


async def _effect(context: DrillContext, watcher: EffectWatcher) -> float | None:
    """Return when the fault took effect, on the event loop's clock; None when it did not."""
    if context.scenario.effective_when is EffectiveWhen.TARGET_HIT:
        return await _first_hit(context)
    harmed = await watcher.first(within_seconds=EFFECT_SECONDS)
    if harmed is None:
        own = ", ".join(f"{count} with {status or 'no answer'}" for status, count in watcher.own.items())
        reason = "nobody was harmed" + (f"; canaries failed for reasons of their own: {own}" if own else "")
        context.log.append(Kind.FAULT_INEFFECTIVE, "payments", {"reason": reason})
        return None
    payload = {"status": harmed.status}
    context.log.append(Kind.FAULT_EFFECTIVE, harmed.who, payload, source=harmed.who, at_mono=harmed.at_mono)
    return harmed.at_mono


async def _first_hit(context: DrillContext) -> float | None:
    """Wait until a target reports that its fault hit a request."""
    hits = await poll_until(
        context.leases.hits, bool, every_seconds=ASK_EVERY_SECONDS, within_seconds=EFFECT_SECONDS
    )
    if hits:
        at_mono = asyncio.get_running_loop().time()
        context.log.append(Kind.FAULT_EFFECTIVE, "target", {"hits": hits}, source="target", at_mono=at_mono)
        return at_mono
    context.log.append(Kind.FAULT_INEFFECTIVE, "target", {"reason": "the fault hit nobody"})
    return None
