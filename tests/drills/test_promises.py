"""What an operator action promised is counted where nobody who acted can write."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import pytest

from moneypath.drills import promises
from moneypath.drills.actions_taken import ActionsTaken, ActionTaken
from moneypath.drills.promises import UNDER_WAY_SECONDS, Found, _count, _Witnesses
from moneypath.errors import MoneypathError
from moneypath.oracle.records import Charge, ChargeStatus, Operation, PostingLine, ReportTaken
from moneypath.prometheus import Sample
from moneypath.runbooks import ACTION_PROMISES, ActionCall
from moneypath.runbooks import action_promises as declared

DRAINED_AT = 1000.0


def _charge(
    at: float, *, provider: str = "north", operation: Operation = Operation.AUTHORIZE, **more: Any
) -> Charge:
    fields: dict[str, Any] = {
        "key": f"k{at}", "reference": f"r{at}", "amount_minor": 100, "currency": "EUR",
        "card_range": "411111", "status": ChargeStatus.APPROVED, "provider_reference": f"p{at}",
    }  # fmt: skip
    return Charge(provider=provider, seq=int(at * 10), operation=operation, at=at, **{**fields, **more})


def _line(operation_id: str, kind: str, key: str, entry: str) -> PostingLine:
    return PostingLine(entry, kind, operation_id, "north", key, "p", "r", "i", "a", "EUR", 1, 0.0)


@dataclass
class World:
    """The witnesses of one drill, with the actions that were taken in it."""

    books: Mapping[str, Sequence[Charge]]
    postings: Sequence[PostingLine] = ()
    served: Sequence[ReportTaken] = ()
    depth: float | None = 0.0
    broken: MoneypathError | None = None

    def __post_init__(self) -> None:
        self.actions = ActionsTaken()

    def took(
        self, name: str, argument: str = "north", at: float = DRAINED_AT, **answer: object
    ) -> ActionTaken:
        """Take an action that is answered a second after it was asked for."""
        taken = ActionTaken(name, argument, f"key {at}", at - 1, at, answer)
        self.actions.taken.append(taken)
        return taken

    async def count(self, action: ActionTaken) -> Found:
        """Return what the witness of an action's promise counts."""

        async def query(promql: str, /) -> Sequence[Sample]:
            assert "moneypath_dead_letter_depth" in promql
            if self.broken is not None:
                raise self.broken
            return [] if self.depth is None else [Sample({}, self.depth)]

        context = cast(Any, SimpleNamespace(query=query))
        served = {"north": self.served, "south": ()}
        witnesses = _Witnesses(self.actions, self.books, self.postings, served, context, ended_at=2000.0)
        return await _count(action, witnesses)

    async def kept(self, action: ActionTaken) -> bool:
        """Tell whether the promise of an action was kept."""
        found = await self.count(action)
        return ACTION_PROMISES[action.name].kept(found.number, found.evidence)


def _elsewhere(count: int = 30) -> list[Charge]:
    return [_charge(DRAINED_AT + 6 + n / 10, provider="south") for n in range(count)]


def test_every_declared_action_has_a_promise_that_can_be_counted() -> None:
    """None is declared without saying how to look at it."""
    assert set(promises._COUNTS) == set(ACTION_PROMISES)


@pytest.mark.parametrize(
    ("at", "kept"),
    [
        (DRAINED_AT - 5, True),
        (DRAINED_AT + UNDER_WAY_SECONDS - 0.1, True),
        (DRAINED_AT + UNDER_WAY_SECONDS, False),
        (DRAINED_AT + 50, False),
        (1099.9, False),
        (1100.0, True),
        (1101.0, True),
    ],
    ids=["before", "under way", "new", "much later", "before the restore", "at it", "after it"],
)
async def test_no_new_payment_reaches_a_drained_provider(at: float, kept: bool) -> None:
    """What was under way may arrive; a single new payment breaks the promise, until the restore."""
    world = World({"north": [_charge(at)], "south": _elsewhere()})
    drain = world.took(declared.PROVIDER_DRAIN)
    world.took(declared.PROVIDER_RESTORE, at=1101.0)
    assert await world.kept(drain) is kept


async def test_a_capture_at_a_drained_provider_is_no_new_payment() -> None:
    """What it had authorized is captured there."""
    world = World({"north": [_charge(1050, operation=Operation.CAPTURE)], "south": _elsewhere()})
    assert await world.kept(world.took(declared.PROVIDER_DRAIN))


async def test_a_drain_is_not_shown_to_work_without_traffic() -> None:
    """Where nobody pays, nothing reaches anybody."""
    world = World({"north": [], "south": _elsewhere(19)})
    drain = world.took(declared.PROVIDER_DRAIN)
    assert (await world.count(drain)).evidence == 19
    assert not await world.kept(drain)


async def test_a_promise_to_serve_ends_with_the_opposite_action() -> None:
    """What comes after a second drain, or a second block, is not what the first one's undo brought about."""
    late = [_charge(1100.0 + n, card_range="421234") for n in range(9)]
    world = World({"north": late, "south": []})
    restored = world.took(declared.PROVIDER_RESTORE)
    world.took(declared.RISK_BLOCK, "busiest", card_range="421234", at=990.0)
    unblocked = world.took(declared.RISK_UNBLOCK, "busiest")
    assert [(await world.count(one)).number for one in (restored, unblocked)] == [9, 9]
    world.took(declared.PROVIDER_DRAIN, at=1051.0)
    world.took(declared.RISK_BLOCK, "busiest", at=1051.0)
    assert [(await world.count(one)).number for one in (restored, unblocked)] == [0, 0]


async def test_an_action_without_an_answer_counts_from_when_it_was_asked_for() -> None:
    """It may have worked all the same."""
    world = World({"north": [_charge(1000.0), _charge(998.0)], "south": []})
    unanswered = ActionTaken(declared.PROVIDER_RESTORE, "north", "key", 999.0, None, {})
    world.actions.taken.append(unanswered)
    assert await world.count(unanswered) == Found(1)


async def test_an_action_that_nobody_can_count_is_not_known() -> None:
    """Neither one without a way to count it nor one whose witness does not answer."""
    world = World({"north": [], "south": []})
    found = await world.count(ActionTaken("provider.repaint", "north", "key", 1.0, 2.0, {}))
    assert found.number is None
    assert "how to count it" in found.reason
    world.broken = MoneypathError("Prometheus does not answer", hint="wait")
    found = await world.count(world.took(declared.DEAD_LETTERS_REPLAY, "notifications"))
    assert found == Found(None, reason="Prometheus does not answer")


async def test_a_restored_provider_gets_payments_again() -> None:
    """Five, after the answer."""
    late = [_charge(DRAINED_AT + n) for n in range(5)]
    for charges, kept in ((late, True), (late[1:], False), ([_charge(900.0)] * 9, False)):
        world = World({"north": charges, "south": _elsewhere()})
        assert await world.kept(world.took(declared.PROVIDER_RESTORE)) is kept


@pytest.mark.parametrize(
    ("card_range", "at", "kept"),
    [("421234", 1010.0, False), ("421234", 1001.0, True), ("411111", 1010.0, True), ("421234", 1200.0, True)],
    ids=["through", "under way", "another range", "after the unblock"],
)
async def test_no_payment_of_a_blocked_range_reaches_any_provider(
    card_range: str, at: float, kept: bool
) -> None:
    """The range is the one that the answer names, since no runbook may name it."""
    world = World({"north": [], "south": [_charge(at, provider="south", card_range=card_range)]})
    block = world.took(declared.RISK_BLOCK, "busiest", card_range="421234")
    world.took(declared.RISK_UNBLOCK, "busiest", at=1200.0)
    assert await world.kept(block) is kept


async def test_a_block_that_names_no_range_is_not_known_to_hold() -> None:
    """An action that does nothing may repeat its argument."""
    world = World({"north": [], "south": []})
    found = await world.count(world.took(declared.RISK_BLOCK, "busiest", card_range="busiest"))
    assert found.number is None
    assert "names the range" in found.reason


async def test_an_unblocked_range_pays_again_though_only_the_block_named_it() -> None:
    """The probe's payment has to be in a book; the range is known from the block."""
    for charges, kept in (([_charge(1300.0, card_range="421234")], True), ([], False)):
        world = World({"north": charges, "south": []})
        world.took(declared.RISK_BLOCK, "busiest", card_range="421234")
        unblock = world.took(declared.RISK_UNBLOCK, "busiest", at=1200.0, card_range="busiest")
        assert await world.kept(unblock) is kept


async def test_a_refund_leaves_nothing_charged_twice() -> None:
    """Two captures of one key, until the second is refunded in full."""
    twice = [
        _charge(900.0, operation=Operation.CAPTURE, key="k", reference="r", status=ChargeStatus.CAPTURED),
        _charge(901.0, operation=Operation.CAPTURE, key="k", reference="r", status=ChargeStatus.CAPTURED),
    ]
    back = _charge(
        950.0, operation=Operation.REFUND, key="repair", parent="p901.0", status=ChargeStatus.REFUNDED
    )
    for charges, kept in ((twice, False), ([*twice, back], True), (twice[:1], True)):
        world = World({"north": charges, "south": []})
        assert await world.kept(world.took(declared.DUPLICATES_REFUND)) is kept


@pytest.mark.parametrize(
    ("served", "kept"),
    [
        ([(7, 900.0), (7, 1000.5)], True),
        ([(7, 900.0), (8, 1000.5)], False),
        ([(7, 900.0), (7, 1030.0)], False),
        ([(7, 900.0), (7, 950.0)], False),
        ([(7, 900.0), (7, 999.0)], True),
        ([(7, 999.0)], False),
        ([(7, 900.0), (7, 1004.0)], False),
        ([], False),
    ],
    ids=["again", "only new", "when corrected", "before", "as asked", "once", "too late", "never"],
)
async def test_reports_in_doubt_are_served_again_at_once(served: list[tuple[int, float]], kept: bool) -> None:
    """A report that is served again because its provider corrected it is nobody's merit."""
    world = World({"north": [], "south": []}, served=[ReportTaken("north", *one) for one in served])
    assert await world.kept(world.took(declared.SETTLEMENT_REFETCH)) is kept


@pytest.mark.parametrize(("depth", "kept"), [(0.0, True), (2.0, False), (None, False)])
async def test_a_replay_leaves_no_dead_letter(depth: float | None, kept: bool) -> None:
    """What Prometheus does not know is not empty."""
    world = World({"north": [], "south": []}, depth=depth)
    assert await world.kept(world.took(declared.DEAD_LETTERS_REPLAY, "notifications")) is kept


@pytest.mark.parametrize(("entries", "kept"), [(0, False), (1, True), (2, False)])
async def test_suspense_is_released_once(entries: int, kept: bool) -> None:
    """The release carries the provider key of the refund that it releases."""
    lines = [_line("op-1", "suspense", "key-1", "e0"), _line("op-9", "suspense_release", "key-9", "e9")]
    lines += [_line(f"op-{n + 2}", "suspense_release", "key-1", f"e{n + 1}") for n in range(entries)]
    world = World({"north": [], "south": []}, postings=lines)
    assert await world.kept(world.took(declared.SUSPENSE_RELEASE, "op-1")) is kept


async def test_a_provider_without_a_book_is_not_known() -> None:
    """A misspelt argument is no kept promise."""
    found = await World({"north": [], "south": []}).count(
        ActionTaken(declared.DUPLICATES_REFUND, "mars", "key", 1.0, 2.0, {})
    )
    assert found == Found(None, reason="unknown: 'mars'")


async def test_every_call_is_noted_with_its_answer_and_one_that_fails_without() -> None:
    """A call whose effect is not known still ends what the one before it promised."""
    instants = iter([10.0, 11.0, 20.0])
    taken = ActionsTaken(now=lambda: next(instants))

    async def drain(_: ActionCall, /) -> Mapping[str, object]:
        return {"card_range": "421234"}

    async def restore(_: ActionCall, /) -> Mapping[str, object]:
        raise RuntimeError("gone")

    watched = taken.watch({"provider.drain": drain, "provider.restore": restore})
    await watched["provider.drain"](ActionCall("provider.drain", ("north",), "key", "why", 1.0))
    with pytest.raises(RuntimeError):
        await watched["provider.restore"](ActionCall("provider.restore", ("north",), "other", "why", 1.0))
    first, second = taken.taken
    assert (first.asked_at, first.answered_at, first.card_range) == (10.0, 11.0, "421234")
    assert (second.asked_at, second.answered_at) == (20.0, None)
    assert taken.next_asked(first, "provider.restore") == 20.0
    assert taken.next_asked(second, "provider.drain") is None
