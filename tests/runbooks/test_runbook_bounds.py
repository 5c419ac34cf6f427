"""Whatever a page's arrows say and its ports do, following it ends."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from moneypath.prometheus import QueryFailed, Sample
from moneypath.runbooks import (
    ActionCall,
    ActionRefused,
    ExecutionContext,
    Runbook,
    Status,
    StepEvent,
    execute,
    undo,
)
from moneypath.runbooks.execution import MAX_VISITS
from moneypath.runbooks.expectations import action_expectation, query_expectation
from moneypath.runbooks.model import (
    FirstHourEntry,
    FrontMatter,
    Review,
    RoleAssignment,
    Section,
    Severity,
    Step,
    StepType,
)
from moneypath.runbooks.step_runner import MAX_ATTEMPTS

FRONT = FrontMatter(
    id="any",
    title="Any page",
    version=1,
    owner_role="ops",
    severity=Severity.CRITICAL,
    triggers=("A",),
    roles={"ops": RoleAssignment(page=True)},
    first_hour=(FirstHourEntry.model_construct(by=60.0, role="ops", do="abc", evidence="abc"),),
    do_not=("abc",),
    comms=(),
    regulatory=(),
    exit_criteria=("abc",),
    drills=(),
    review=Review(every_days=1, last=date(2026, 1, 1)),
)
ANSWERS = st.sampled_from(["good", "bad", "raises", "refuses"])


@dataclass(slots=True)
class Port:
    """Plays a fixed sequence of answers over and over; its clock may stand still."""

    answers: Sequence[str]
    moves: bool
    asked: int = 0
    now: float = 0.0
    pulled: list[ActionCall] = field(default_factory=list)

    def monotonic(self) -> float:
        """Return the time."""
        return self.now

    async def sleep(self, seconds: float, /) -> None:
        """Move on, or do not."""
        self.now += seconds if self.moves else 0.0

    def _answer(self) -> bool:
        self.asked += 1
        answer = self.answers[self.asked % len(self.answers)]
        if answer == "raises":
            raise QueryFailed("no")
        if answer == "refuses":
            raise ActionRefused("no")
        return answer == "good"

    async def query(self, promql: str, /) -> Sequence[Sample]:
        """Answer 1 for good."""
        assert promql == "up"
        return [Sample({}, float(self._answer()))]

    async def action(self, call: ActionCall, /) -> Mapping[str, object]:
        """Answer whether it was good."""
        self.pulled.append(call)
        return {"ok": self._answer()}


@st.composite
def pages(draw: st.DrawFn) -> Runbook:
    """Draw a page of up to six steps whose arrows go anywhere."""
    count = draw(st.integers(1, 6))
    targets = st.sampled_from(["", "end", "escalate", *(f"s{n}" for n in range(count))])
    steps = []
    for place in range(count):
        kind = draw(st.sampled_from(list(StepType)))
        acts = kind is StepType.MITIGATE
        steps.append(
            Step(
                line=place + 1,
                number=place + 1,
                id=f"s{place}",
                type=kind,
                role="ops",
                title="step",
                instruction=("action", str(place)) if acts else ("up",),
                expect=action_expectation({"ok": True}) if acts else query_expectation({"value": "== 1"}),
                within_seconds=draw(st.sampled_from([0.001, 1.0, 60.0, 3600.0])),
                undo=("action", str(-place)) if acts else (),
                next=draw(targets),
                otherwise=draw(targets),
            )
        )
    return Runbook(Path("any.md"), FRONT, {}, (Section("Confirm", 1, (), tuple(steps), ()),))


@settings(max_examples=60, deadline=None)
@given(runbook=pages(), answers=st.lists(ANSWERS, min_size=1, max_size=5), moves=st.booleans(),
       scale=st.sampled_from([1.0, 60.0]))  # fmt: skip
def test_following_any_page_ends(runbook: Runbook, answers: list[str], moves: bool, scale: float) -> None:
    """The steps, questions and pulls are bounded, each step's time too, and the books balance."""
    port, events = Port(answers, moves), list[StepEvent]()
    context = ExecutionContext(labels={}, scale=scale)
    actions = {"action": port.action}

    async def follow() -> None:
        async with asyncio.timeout(60):
            execution = await execute(
                runbook, context=context, actions=actions, query=port.query, record=events.append, clock=port
            )
            assert len(execution.steps) <= MAX_VISITS * len(runbook.steps)
            assert len(events) == 2 * len(execution.steps)
            assert (execution.status is Status.COMPLETED) == (execution.reason == "")
            for event in execution.steps:
                assert event.attempts <= MAX_ATTEMPTS
                assert event.elapsed_seconds <= event.limit_seconds + 0.001
            pulls = len(port.pulled)
            assert len(execution.pending_undos) <= pulls
            in_force = len(execution.pending_undos)
            await undo(execution, context=context, actions=actions, record=events.append, clock=port)
            assert len(port.pulled) == pulls + in_force

    asyncio.run(follow())
