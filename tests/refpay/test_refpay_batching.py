"""Calls for many at once: nothing waits without need, and one caller's trouble is its own."""

import asyncio
from collections.abc import Sequence
from contextvars import ContextVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refpay.payments.batching import Batcher

REQUEST: ContextVar[str] = ContextVar("request", default="nobody's")


class Desk:
    """Answers each number with its double once the gate is open; keeps every call."""

    def __init__(self, *, most: int = 4, concurrency: int = 1, slow_after_seconds: float = 60) -> None:
        self.calls: list[list[int]] = []
        self.gate = asyncio.Event()
        self.called = asyncio.Event()
        self.running = self.most_running = 0
        self.seen: set[str] = set()
        self.batcher = Batcher[int, int](
            self.run, most=most, concurrency=concurrency, slow_after_seconds=slow_after_seconds
        )

    async def run(self, items: Sequence[int]) -> Sequence[int | BaseException]:
        """Double them; an odd one is its caller's mistake."""
        self.calls.append(list(items))
        self.seen.add(REQUEST.get())
        self.called.set()
        self.running += 1
        self.most_running = max(self.running, self.most_running)
        try:
            await self.gate.wait()
        finally:
            self.running -= 1
        return [ValueError(str(item)) if item % 2 else 2 * item for item in items]

    def submit(self, *items: int) -> "list[asyncio.Task[int]]":
        """Submit from a task each."""
        return [asyncio.create_task(self.batcher.submit(item)) for item in items]


async def test_the_first_waits_for_nobody_and_the_others_share_a_call() -> None:
    """One alone at once; those that come meanwhile together, no more than fit, in their order."""
    desk = Desk()
    first = desk.submit(0)
    await desk.called.wait()
    rest = desk.submit(2, 4, 6, 8, 10)
    desk.gate.set()
    assert await asyncio.gather(*first, *rest) == [0, 4, 8, 12, 16, 20]
    assert desk.calls == [[0], [2, 4, 6, 8], [10]]


async def test_what_is_ready_at_once_goes_at_once() -> None:
    """Several in one turn of the loop are one call, without waiting for a clock."""
    desk = Desk()
    desk.gate.set()
    await asyncio.gather(*desk.submit(2, 4, 6))
    assert desk.calls == [[2, 4, 6]]


async def test_each_gets_its_own_answer() -> None:
    """One caller's refusal is not its neighbours'."""
    desk = Desk()
    desk.gate.set()
    good, bad, other = desk.submit(2, 3, 4)
    assert (await good, await other) == (4, 8)
    with pytest.raises(ValueError, match="3"):
        await bad


class Died(BaseException):
    """What is no Exception."""


@pytest.mark.parametrize("failure", [ConnectionError, Died])
async def test_a_call_that_fails_is_told_to_all_of_it_and_to_nobody_else(
    failure: type[BaseException],
) -> None:
    """Whatever it fails with, nobody waits for ever; the next call starts anew."""
    failures = [failure("lost")]

    async def run(items: Sequence[int]) -> Sequence[int | BaseException]:
        if failures:
            raise failures.pop()
        return list(items)

    batcher = Batcher[int, int](run, most=4, concurrency=1)
    results = await asyncio.gather(batcher.submit(1), batcher.submit(2), return_exceptions=True)
    assert [type(result) for result in results] == [failure, failure]
    assert await batcher.submit(3) == 3


async def test_who_has_gone_is_left_out_and_takes_nobody_along() -> None:
    """A cancelled caller before its turn costs no row; one in the middle of its call disturbs no other."""
    desk = Desk()
    (running,) = desk.submit(0)
    await desk.called.wait()
    gone, stays = desk.submit(2, 4)
    await asyncio.sleep(0)
    gone.cancel()
    running.cancel()
    await asyncio.gather(gone, running, return_exceptions=True)
    desk.gate.set()
    assert await stays == 8
    assert desk.calls == [[0], [4]]


async def test_a_late_call_is_passed_by_and_only_so_many_are_open() -> None:
    """Nobody waits for a call that hangs; with every lane late, what comes waits for one of them."""
    desk = Desk(concurrency=2, slow_after_seconds=0)
    tasks = desk.submit(0)
    await desk.called.wait()
    desk.called.clear()
    tasks += desk.submit(2)
    await desk.called.wait()
    tasks += desk.submit(4)
    for _ in range(5):
        await asyncio.sleep(0)
    assert desk.calls == [[0], [2]]
    desk.gate.set()
    assert await asyncio.gather(*tasks) == [0, 4, 8]
    assert (desk.calls, desk.most_running) == ([[0], [2], [4]], 2)


async def test_a_call_in_time_is_waited_for() -> None:
    """The twin: with concurrency to spare one call is on its way and the others gather."""
    desk = Desk(concurrency=2)
    tasks = desk.submit(0)
    await desk.called.wait()
    tasks += desk.submit(2, 4)
    for _ in range(5):
        await asyncio.sleep(0)
    assert desk.calls == [[0]]
    desk.gate.set()
    await asyncio.gather(*tasks)
    assert desk.most_running == 1


async def test_a_call_belongs_to_no_request() -> None:
    """What one request has in its context does not stand for the others'."""
    desk = Desk()
    desk.gate.set()
    REQUEST.set("mine")
    await asyncio.gather(*desk.submit(2, 4))
    assert desk.seen == {"nobody's"}


@given(
    items=st.lists(st.integers(0, 1000), max_size=40),
    most=st.integers(1, 5),
    concurrency=st.integers(1, 3),
    turns=st.lists(st.integers(0, 3), max_size=40),
)
def test_whatever_the_times_every_item_is_served_once(
    items: list[int], most: int, concurrency: int, turns: list[int]
) -> None:
    """Each caller gets its own answer, no call is too large, and no item is in two."""

    async def play() -> None:
        desk = Desk(most=most, concurrency=concurrency, slow_after_seconds=0)
        tasks = []
        for place, item in enumerate(items):
            tasks += desk.submit(2 * item)
            if place == len(items) // 2:
                desk.gate.set()
            for _ in range(turns[place] if place < len(turns) else 0):
                await asyncio.sleep(0)
        desk.gate.set()
        assert await asyncio.gather(*tasks) == [4 * item for item in items]
        assert sorted(one for call in desk.calls for one in call) == sorted(2 * item for item in items)
        assert all(len(call) <= most for call in desk.calls)
        assert desk.most_running <= concurrency

    asyncio.run(play())
