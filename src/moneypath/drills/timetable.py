"""Plays a drill's timeline: faults begin and end at their times, counted from the first one's effect."""

import asyncio
from typing import Final

from moneypath.drills.course import Course
from moneypath.drills.scenario import EffectiveWhen
from moneypath.drills.steps import Step, TargetKind
from moneypath.incidents.timeline import Kind

EFFECT_SECONDS: Final = 20.0
CANARY_EVERY_SECONDS: Final = 0.1


async def play(course: Course) -> bool:
    """Begin and end every fault; False when the first had no effect that a canary could feel.

    Entries before the first effect run at once; t0 is the effect, and later entries count from it.
    """
    steps = course.scenario.timeline
    opening = [step for step in steps if step.at == steps[0].at]
    for step in opening:
        await _perform(course, step)
    t0 = await _effect(course)
    if t0 is None:
        return False
    loop = asyncio.get_running_loop()
    for step in steps[len(opening) :]:
        await asyncio.sleep(max(0.0, t0 + course.real(step.at - steps[0].at) - loop.time()))
        await _perform(course, step)
    return True


async def _perform(course: Course, step: Step) -> None:
    if step.end:
        await course.end_faults(step.end)
        return
    if step.target_kind is TargetKind.TRAFFIC:
        await course.attacks.begin(step)
    else:
        await course.leases.begin(step)
    params = step.params.model_dump(mode="json", exclude_unset=True) if step.params else {}
    payload = {"fault": step.fault, "target": step.target or "the service", **params}
    course.log.append(Kind.FAULT_COMMANDED, str(step.id), payload)


async def _effect(course: Course) -> float | None:
    """Return the instant, on the event loop's monotonic clock, at which the fault was first felt."""
    if course.scenario.effective_when is EffectiveWhen.TARGET_HIT:
        return await _first_hit(course)
    felt = await course.canary.until_bad(within_seconds=EFFECT_SECONDS, every_seconds=CANARY_EVERY_SECONDS)
    if felt is None:
        course.log.append(Kind.FAULT_INEFFECTIVE, "canary", {"reason": "no canary was harmed"})
        return None
    payload = {"status": felt.status}
    course.log.append(Kind.FAULT_EFFECTIVE, "canary", payload, source="canary", at_mono=felt.at_mono)
    return felt.at_mono


async def _first_hit(course: Course) -> float | None:
    """Wait until a target says that its fault has hit somebody."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + EFFECT_SECONDS
    while loop.time() < deadline:
        if hits := await course.leases.hits():
            felt = loop.time()
            payload = {"hits": hits}
            course.log.append(Kind.FAULT_EFFECTIVE, "target", payload, source="target", at_mono=felt)
            return felt
        await asyncio.sleep(CANARY_EVERY_SECONDS)
    course.log.append(Kind.FAULT_INEFFECTIVE, "target", {"reason": "the fault hit nobody"})
    return None
