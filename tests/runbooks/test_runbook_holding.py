"""What has to stay so: the grammar, the time, the events, and that one lucky answer is never enough."""

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moneypath.path.source import DeclarationInvalid, DeclarationIssues
from moneypath.prometheus import QueryFailed, Sample
from moneypath.runbooks import Outcome, Status, render
from moneypath.runbooks.expectations import query_expectation
from moneypath.runbooks.holding import Held, Hold, HoldTracker, Scalar, counted

if TYPE_CHECKING:
    from tests.runbooks.conftest import Book, Service

HOLD = 'expect: {value: "< 0.0144", for: 30s, evidence: {min: 20, query: sum(payments_total)}}'
EVIDENCE: dict[str, Scalar] = {"min": 20, "query": "sum(payments_total)"}


def test_the_grammar_takes_a_time_and_evidence() -> None:
    """Both are kept, and shown as they were written."""
    expectation = query_expectation({"value": "== 0", "for": "5m", "evidence": EVIDENCE})
    assert expectation.hold == Hold(300.0, 20, "sum(payments_total)")
    assert str(expectation) == "== 0 for 5m on 20 of sum(payments_total)"
    assert query_expectation({"empty": True, "for": "90s", "evidence": EVIDENCE}).hold is not None


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ({"for": "5m"}, "has `for` without `evidence`"),
        ({"evidence": EVIDENCE}, "has `evidence` without `for`"),
        ({"for": "5", "evidence": EVIDENCE}, "is not a duration"),
        ({"for": "0s", "evidence": EVIDENCE}, "is no time"),
        ({"for": "5m", "evidence": "20"}, "needs `min` and `query`"),
        ({"for": "5m", "evidence": {"min": 20}}, "needs `min` and `query`"),
        ({"for": "5m", "evidence": {**EVIDENCE, "max": 3}}, "needs `min` and `query`"),
        ({"for": "5m", "evidence": {**EVIDENCE, "min": 0}}, "is 0"),
        ({"for": "5m", "evidence": {**EVIDENCE, "min": True}}, "is True"),
        ({"for": "5m", "evidence": {**EVIDENCE, "query": 7}}, "is no text"),
        ({"for": "5m", "evidence": {**EVIDENCE, "query": "sum("}}, "is not valid PromQL"),
        ({"for": "5m", "evidence": {**EVIDENCE, "query": "queue_depth"}}, "which may go down"),
        ({"for": "5m", "evidence": {**EVIDENCE, "query": "rate(x_total[5m])"}}, "has a window"),
    ],
)
def test_half_a_hold_and_no_counter_are_refused(declared: dict[str, Any], words: str) -> None:
    """One sentence each, that says what is allowed."""
    with pytest.raises(DeclarationIssues, match=words):
        query_expectation({"value": "== 0", **declared})


def test_what_is_only_recorded_cannot_hold() -> None:
    """Any answer satisfies it."""
    with pytest.raises(DeclarationIssues, match="only recorded"):
        query_expectation({"recorded": True, "for": "5m", "evidence": EVIDENCE})


def test_a_hold_takes_at_most_half_of_the_step(book: "Book") -> None:
    """Harm needs time to end before it can stay over; file, line, key and what is allowed are named."""
    with pytest.raises(
        DeclarationInvalid, match=r"expect\.for: takes 200 s .* at most half of it, 150s"
    ) as caught:
        book.load(("for: 30s", "for: 200s"))
    assert f"small-page.md:{book.line('for: 200s')}: " in str(caught.value)


def test_an_action_has_no_evidence(book: "Book") -> None:
    """Its answer comes once."""
    with pytest.raises(DeclarationInvalid, match="has no such value"):
        book.load(("expect: {routing_active: false}", "expect: {evidence: {min: 1, query: sum(a_total)}}"))


def test_the_printed_page_says_for_how_long_and_on_what(book: "Book") -> None:
    """Who follows it by hand needs it too."""
    assert "-> < 0.0144 for 30s on 20 of sum(payments_total)" in " ".join(render(book.load()).split())


@pytest.mark.parametrize(("scale", "seconds"), [(1, 300.0), (10, 30.0), (60, 5.0), (1000, 5.0)])
def test_the_time_is_dilated_like_the_windows_of_rules(scale: float, seconds: float) -> None:
    """Never below their floor: a window needs its scrapes. What is shorter stays as it is."""
    assert Hold(300.0, 1, "a_total").real_seconds(scale) == seconds
    assert Hold(2.0, 1, "a_total").real_seconds(scale) == 2.0


@pytest.mark.parametrize(
    ("samples", "count"), [([], None), ([1.0, 2.0], None), ([float("nan")], None), ([7.0], 7.0)]
)
def test_a_count_is_one_number_or_not_known(samples: list[float], count: float | None) -> None:
    """No sample is no zero."""
    assert counted([Sample({}, value) for value in samples]) == count


async def test_a_lucky_dip_does_not_satisfy_a_check(book: "Book", service: "Service") -> None:
    """One good answer in ten, for ever: the check never holds, and says so."""
    looks = iter(range(10_000))
    service.answers["harm_ratio"] = lambda: 0.0 if next(looks) % 10 == 9 else 0.1
    execution = await service.run(book.load())
    assert execution.status is Status.STOPPED
    assert (execution.steps[-1].step, execution.steps[-1].outcome) == ("stopped", Outcome.UNMET)


async def test_zero_traffic_does_not_satisfy_a_check(book: "Book", service: "Service") -> None:
    """Nobody is harmed where nobody pays: it is right all the time, on nothing."""
    service.answers["payments_total"] = 1000.0
    execution = await service.run(book.load())
    assert execution.status is Status.STOPPED
    assert "on 0 of 20 events" in execution.steps[-1].reason


@pytest.mark.parametrize("evidence", [QueryFailed("gone", hint=""), []], ids=["no answer", "no sample"])
async def test_evidence_that_cannot_be_counted_satisfies_nothing(
    book: "Book", service: "Service", evidence: object
) -> None:
    """What is not known is not enough."""
    service.answers["payments_total"] = evidence
    execution = await service.run(book.load())
    assert execution.status is not Status.COMPLETED
    assert execution.steps[-1].step == "stopped"


async def test_a_break_begins_the_time_anew(book: "Book", service: "Service") -> None:
    """Twenty good seconds, a bad one and thirty good ones: only the last count."""
    service.answers["harm_ratio"] = lambda: 0.1 if 20 < service.clock.now < 22 else 0.0
    execution = await service.run(book.load())
    held = execution.steps[2].held
    assert held is not None
    assert execution.status is Status.COMPLETED
    assert held.seconds == 30.0
    assert service.clock.now > 50


async def test_the_event_says_how_long_and_on_how_much(book: "Book", service: "Service") -> None:
    """Who scores the log judges these numbers and not the word satisfied."""
    execution = await service.run(book.load())
    assert execution.steps[2].payload()["held"] == {"seconds": 30.0, "events": 30.0}
    assert execution.steps[0].payload()["held"] is None


def test_a_counter_that_goes_back_begins_anew() -> None:
    """A restarted process counts from zero: what was before is no evidence of now."""
    tracker = HoldTracker()
    assert tracker.look(right=True, count=100, at=0) == Held()
    assert tracker.look(right=True, count=160, at=10) == Held(10, 60)
    assert tracker.look(right=True, count=5, at=20) == Held()
    assert tracker.look(right=True, count=30, at=30) == Held(10, 25)


@given(st.lists(st.tuples(st.booleans(), st.none() | st.integers(0, 100)), max_size=40))
def test_what_is_held_is_never_more_than_the_last_unbroken_run(looks: list[tuple[bool, int | None]]) -> None:
    """Whatever comes: no longer than since the last break, on no more than was counted since."""
    tracker = HoldTracker()
    run: list[tuple[int, int]] = []
    for at, (right, count) in enumerate(looks):
        held = tracker.look(right=right, count=count, at=float(at))
        run = [*run, (at, count)] if right and count is not None else []
        if not run:
            assert held == Held()
            continue
        assert held.seconds <= at - run[0][0]
        assert 0 <= held.events <= max(seen for _, seen in run)
