"""Following a page: the good case, and every way in which a step can go wrong."""

import asyncio
import json
import math
from typing import TYPE_CHECKING

import pytest

from moneypath.prometheus import QueryFailed, Sample
from moneypath.runbooks import (
    ActionRefused,
    EventKind,
    ExecutionContext,
    Outcome,
    Status,
)
from moneypath.runbooks.execution import MAX_VISITS
from moneypath.runbooks.placeholders import PlaceholderUnfilled
from moneypath.runbooks.structure import RunbookUnsound

if TYPE_CHECKING:
    from tests.runbooks.conftest import Book, Service

ARROW = "title: The ledger is whole"


async def test_a_page_is_followed_to_its_end(book: "Book", service: "Service") -> None:
    """The fault is seen, the action runs for the alert's provider, harm ends, the ledger is whole."""
    execution = await service.run(book.load())
    assert execution.status is Status.COMPLETED
    assert [outcome for _, outcome in execution.outcomes()] == [Outcome.SATISFIED] * 4
    assert service.asked[0] == 'bad_ratio{provider="north"}'
    (call,) = service.calls
    assert (call.name, call.arguments) == ("provider.drain", ("north",))
    assert call.reason == "incident inc-1: small-page step 2 drain"
    assert not service.routed


async def test_each_step_leaves_a_start_and_an_end(book: "Book", service: "Service") -> None:
    """The record says what was expected and what was seen, with the numbers, in order."""
    await service.run(book.load())
    kinds = [(event.number, event.kind) for event in service.events]
    assert kinds == [(n, kind) for n in (1, 2, 3, 4) for kind in (EventKind.STARTED, EventKind.FINISHED)]
    confirm = service.events[1]
    assert (confirm.expected, confirm.seen, confirm.next) == (">= 0.0144", '0.2 {provider="north"}', "drain")
    assert confirm.samples == (Sample({"provider": "north"}, 0.2),)
    assert service.events[3].idempotency_key == service.calls[0].idempotency_key


async def test_an_event_is_plain_json_even_with_nan(book: "Book", service: "Service") -> None:
    """Evidence has to be written down whatever the query answered."""
    service.answers["bad_ratio"] = [Sample({}, math.nan), Sample({}, math.inf)]
    await service.run(book.load())
    payload = service.events[1].payload()
    assert json.loads(json.dumps(payload, allow_nan=False))["samples"][0]["value"] == "nan"


async def test_an_action_that_does_nothing_is_found_by_the_next_check(
    book: "Book", service: "Service"
) -> None:
    """Mutation: the service answers as expected and changes nothing; customers are still harmed."""
    service.noop.add("provider.drain")
    execution = await service.run(book.load())
    assert execution.status is Status.STOPPED
    assert execution.steps[1].outcome is Outcome.SATISFIED
    assert execution.steps[-1].step == "stopped"
    assert "saw 0.1 " in execution.reason


async def test_an_action_that_answers_otherwise_stops_the_page(book: "Book", service: "Service") -> None:
    """An operator action's answer is compared, not only received."""
    service.answers["unused"] = 0
    runbook = book.load(("{routing_active: false}", "{routing_active: true}"))
    execution = await service.run(runbook)
    assert execution.status is Status.STOPPED
    assert "saw routing_active=false" in execution.reason


async def test_a_check_waits_within_its_time(book: "Book", service: "Service") -> None:
    """Harm takes a while to end, and has to stay so: the check asks again until it has."""
    left = iter([0.1] * 3 + [0.0] * 100)
    service.answers["harm_ratio"] = lambda: next(left)
    execution = await service.run(book.load())
    assert execution.status is Status.COMPLETED
    stopped = execution.steps[2]
    assert stopped.held is not None
    assert (stopped.held.seconds, stopped.held.events) == (30.0, 30.0)
    assert stopped.attempts == 3 + 1 + 20


async def test_a_check_gives_up_when_its_time_is_over(book: "Book", service: "Service") -> None:
    """The limit is the written one, and the last answer is the one that counts."""
    service.answers["harm_ratio"] = 0.3
    execution = await service.run(book.load())
    stopped = execution.steps[-1]
    assert stopped.limit_seconds == 300
    assert 300 <= stopped.elapsed_seconds < 301
    assert stopped.seen == '0.3 {provider="north"}'


@pytest.mark.parametrize(
    ("scale", "limit"),
    [(1, 300.0), (10, 30.0), (60, 10.0), (1000, 10.0)],
    ids=["none", "ten", "demo", "absurd"],
)
def test_within_is_scaled_down_to_a_floor(scale: float, limit: float) -> None:
    """A scaled window still needs its scrapes, so five minutes never become less than the floor."""
    assert ExecutionContext(labels={}, scale=scale).limit(300) == limit


def test_the_floor_never_lengthens_what_is_written() -> None:
    """Five seconds stay five seconds, at any scale."""
    assert ExecutionContext(labels={}, scale=60).limit(5) == 5


@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan, math.inf])
def test_a_scale_that_is_none_is_refused(scale: float) -> None:
    """Time that stands still or runs backwards would make every limit endless."""
    with pytest.raises(ValueError, match="above 0"):
        ExecutionContext(labels={}, scale=scale)


async def test_a_query_without_an_answer_fails_rather_than_reads_zero(
    book: "Book", service: "Service"
) -> None:
    """Blind is not well: the page ends failed, and says why."""
    service.answers["harm_ratio"] = QueryFailed("Prometheus does not answer: X")
    execution = await service.run(book.load())
    assert execution.status is Status.FAILED
    assert execution.steps[-1].outcome is Outcome.ERRORED
    assert "Prometheus does not answer" in execution.reason


async def test_a_query_that_recovers_within_its_time_is_no_failure(book: "Book", service: "Service") -> None:
    """One lost answer is asked for again."""
    answers = iter([QueryFailed("gone"), 0.0])
    service.answers["unbalanced"] = lambda: next(answers)
    assert (await service.run(book.load())).status is Status.COMPLETED


async def test_absence_is_not_zero(book: "Book", service: "Service") -> None:
    """A ledger gauge that vanished does not prove a whole ledger."""
    service.answers["unbalanced"] = []
    execution = await service.run(book.load())
    assert execution.status is Status.STOPPED
    assert "absent is not zero" in execution.reason


async def test_a_foreign_error_tells_its_type_only(book: "Book", service: "Service") -> None:
    """The words of foreign errors may hold secrets; they stay out of the evidence."""
    service.answers["bad_ratio"] = RuntimeError("Bearer abc")
    execution = await service.run(book.load())
    assert "RuntimeError" in execution.reason
    assert "abc" not in str(service.events)


async def test_a_query_that_hangs_is_cut_off(book: "Book", service: "Service") -> None:
    """A silent Prometheus cannot hold the page."""
    service.hang.add("bad_ratio")
    async with asyncio.timeout(30):
        execution = await service.run(book.load(("within: 30s", "within: 10ms")))
    assert execution.status is Status.FAILED
    assert "timed out" in execution.reason


async def test_an_action_that_hangs_is_cut_off_and_stays_in_force(book: "Book", service: "Service") -> None:
    """Nobody knows whether it had its effect, so it will be undone."""
    service.hang.add("provider.drain")
    runbook = book.load(("{routing_active: false}\nwithin: 30s", "{routing_active: false}\nwithin: 20ms"))
    async with asyncio.timeout(30):
        execution = await service.run(runbook)
    assert execution.status is Status.FAILED
    assert "timed out" in execution.reason
    assert len(execution.pending_undos) == 1


async def test_a_refused_action_stops_and_has_nothing_to_undo(book: "Book", service: "Service") -> None:
    """Draining the last provider is refused: no effect, no undo."""
    service.broken["provider.drain"] = ActionRefused("refused: last_active_provider")
    execution = await service.run(book.load())
    assert execution.status is Status.STOPPED
    assert "last_active_provider" in execution.reason
    assert not len(execution.pending_undos)


async def test_otherwise_leads_on(book: "Book", service: "Service") -> None:
    """An unmet check goes where the page says, and the run can still end well."""
    service.answers["bad_ratio"] = 0.0
    execution = await service.run(
        book.load(('title: "{provider} fails"', 'title: "{provider} fails"\notherwise: whole'))
    )
    assert execution.status is Status.COMPLETED
    assert [event.step for event in execution.steps] == ["confirm", "whole"]
    assert not service.calls


@pytest.mark.parametrize("target", ["otherwise: escalate", ""])
async def test_escalation_stops(book: "Book", service: "Service", target: str) -> None:
    """Written out or not, an unmet step without a way on is for people."""
    service.answers["bad_ratio"] = 0.0
    execution = await service.run(
        book.load(('title: "{provider} fails"', f'title: "{{provider}} fails"\n{target}'))
    )
    assert execution.status is Status.STOPPED
    assert execution.steps[-1].next == "escalate"


async def test_next_end_completes_early(book: "Book", service: "Service") -> None:
    """A satisfied step may be the last one."""
    execution = await service.run(
        book.load(("title: Harm has stopped", "title: Harm has stopped\nnext: end"))
    )
    assert execution.status is Status.COMPLETED
    assert execution.steps[-1].step == "stopped"


async def test_going_round_in_circles_ends(book: "Book", service: "Service") -> None:
    """A page whose arrows form a ring fails after a few rounds."""
    execution = await service.run(book.load((ARROW, f"{ARROW}\nnext: confirm")))
    assert execution.status is Status.FAILED
    assert "more than 3 times" in execution.reason
    assert len(execution.steps) == 4 * MAX_VISITS


async def test_a_missing_label_is_refused_before_anything_happens(book: "Book", service: "Service") -> None:
    """Half a runbook is worse than none."""
    with pytest.raises(PlaceholderUnfilled, match="provider"):
        await service.run(book.load(), labels={"job": "x"})
    assert not service.asked
    assert not service.events


@pytest.mark.parametrize("value", ['a"} or vector(1)', "../x", "", "a b", "x" * 200])
async def test_a_label_cannot_break_out_of_the_query(book: "Book", service: "Service", value: str) -> None:
    """A label's value ends neither a PromQL string nor a path."""
    with pytest.raises(PlaceholderUnfilled, match="unsafe"):
        await service.run(book.load(), labels={"provider": value})


@pytest.mark.parametrize(
    "change",
    [
        ("step: 3", "step: 7"),
        ("id: stopped", "id: confirm"),
        (ARROW, f"{ARROW}\nnext: nowhere"),
        ('undo: [provider.restore, "{provider}"]\n', ""),
        ("action: [provider.drain", "action: [provider.explode"),
    ],
)
async def test_an_unsound_page_is_not_begun(
    book: "Book", service: "Service", change: tuple[str, str]
) -> None:
    """What the linter calls unsound, the executor does not touch."""
    with pytest.raises(RunbookUnsound, match=r"small-page\.md:\d+:"):
        await service.run(book.load(change))
    assert not service.asked


async def agrees(_: object) -> str | None:
    """A second person who agrees."""
    return "kim"


async def declines(_: object) -> str | None:
    """A second person who does not."""
    return None


async def breaks(_: object) -> str | None:
    """A second person who cannot be reached."""
    raise ConnectionError


NEEDS_APPROVAL = ('title: "Drain {provider}"', 'title: "Drain {provider}"\napproval: second_person')


async def test_a_second_person_can_agree(book: "Book", service: "Service") -> None:
    """The operator action is pulled, and the record says who agreed."""
    execution = await service.run(book.load(NEEDS_APPROVAL), approve=agrees)
    assert execution.status is Status.COMPLETED
    assert execution.steps[1].approved_by == "kim"


@pytest.mark.parametrize("approve", [None, declines, breaks])
async def test_without_a_second_person_the_action_is_not_pulled(
    book: "Book", service: "Service", approve: object
) -> None:
    """Nobody there, a no, and a broken line are the same: not approved."""
    execution = await service.run(book.load(NEEDS_APPROVAL), approve=approve)
    assert execution.status is Status.STOPPED
    assert execution.steps[-1].outcome is Outcome.REFUSED
    assert not service.calls
    assert not len(service.pending_undos)
