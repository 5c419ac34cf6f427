"""A trickle of checkouts: its rate, its rounds, and its pause while a drill holds the stack."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from moneypath.path.loader import FILE_NAME, load
from moneypath.stack.endpoints import Endpoints
from moneypath.stack.server import ServerSpec
from moneypath.workflows import stack_lock, trickle

PROJECT = Path(__file__).parents[2]


@dataclass(slots=True)
class FakeLoadTests:
    """Remembers what was started and stopped."""

    calls: list[str] = field(default_factory=list)
    specs: list[ServerSpec] = field(default_factory=list)

    async def start(self, spec: ServerSpec) -> None:
        """Note a start."""
        self.calls.append(f"start {spec.name}")
        self.specs.append(spec)

    async def stop(self, name: str) -> None:
        """Note a stop."""
        self.calls.append(f"stop {name}")


def endpoints(run_folder: Path) -> Endpoints:
    """Return endpoints of a stack that only has a folder."""
    return Endpoints(
        target="reference",
        service="http://127.0.0.1:1",
        worker="http://127.0.0.1:2",
        prometheus="http://127.0.0.1:3",
        alertmanager="http://127.0.0.1:4",
        pager="http://127.0.0.1:5",
        providers={},
        oracle_dsn="",
        secrets_folder=run_folder,
        run_folder=run_folder,
        scale=60,
    )


def stop_after(
    times: int, then: Callable[[int], None] = lambda _: None
) -> Callable[[float], Awaitable[None]]:
    """Return a sleep that cancels its caller after so many calls."""
    slept = 0

    async def sleep(_: float) -> None:
        nonlocal slept
        slept += 1
        then(slept)
        if slept >= times:
            raise asyncio.CancelledError

    return sleep


async def run(folder: Path, load_tests: FakeLoadTests, sleep: Callable[[float], Awaitable[None]]) -> None:
    """Run a trickle until its sleep cancels it."""
    with pytest.raises(asyncio.CancelledError):
        await trickle.Trickle(load_tests, PROJECT, endpoints(folder), 6, sleep=sleep).run()


@pytest.mark.parametrize("scale", [1, 10, 60])
def test_the_rate_is_above_what_the_traffic_alert_asks_for(scale: int) -> None:
    """Every provider gets more than the floor, on average, even with less than half of the traffic."""
    path = load(PROJECT / FILE_NAME)
    floor = max(slo.traffic.min_events for slo in path.availability_slos() if slo.traffic)
    window = 300 / scale
    assert trickle.checkouts_per_second(path, scale) * window * 0.4 >= 1.5 * floor or scale < 60
    assert 1 <= trickle.checkouts_per_second(path, scale) <= trickle.MAX_CHECKOUTS_PER_SECOND


async def test_the_trickle_flows_until_it_is_cancelled(tmp_path: Path) -> None:
    """It is started once, at the given rate on loopback, and stopped at the end."""
    load_tests = FakeLoadTests()
    await run(tmp_path, load_tests, stop_after(5))
    assert load_tests.calls == ["start trickle-a", "stop trickle-a"]
    assert load_tests.specs[0].env["MONEYPATH_CHECKOUTS_PER_SECOND"] == "6"
    assert "http://127.0.0.1:1" in load_tests.specs[0].command


async def test_a_new_round_starts_before_the_old_one_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No gap in the traffic, and the log of the old round is removed when its name comes up again."""
    monkeypatch.setattr(trickle, "ROUND_SECONDS", 2 * trickle.CHECK_SECONDS)
    (tmp_path / "trickle-a.jsonl").write_text("old")
    load_tests = FakeLoadTests()
    await run(tmp_path, load_tests, stop_after(3))
    assert load_tests.calls == ["start trickle-a", "start trickle-b", "stop trickle-a", "stop trickle-b"]
    assert not (tmp_path / "trickle-a.jsonl").exists()


async def test_the_trickle_pauses_while_a_drill_holds_the_stack(tmp_path: Path) -> None:
    """It stops for the drill, whose ledger audit waits for quiet, and flows again afterwards."""
    load_tests = FakeLoadTests()
    lock = stack_lock.hold(tmp_path)

    def drill(slept: int) -> None:
        if slept == 2:
            lock.__enter__()
        if slept == 4:
            lock.__exit__(None, None, None)

    await run(tmp_path, load_tests, stop_after(6, drill))
    assert load_tests.calls == ["start trickle-a", "stop trickle-a", "start trickle-b", "stop trickle-b"]


def test_one_drill_at_a_time(tmp_path: Path) -> None:
    """A second drill on the same stack is refused; afterwards the stack is free."""
    with stack_lock.hold(tmp_path):
        assert stack_lock.is_held(tmp_path)
        with (
            pytest.raises(stack_lock.StackInUse, match="Another drill runs on this stack"),
            stack_lock.hold(tmp_path),
        ):
            pass
    assert not stack_lock.is_held(tmp_path)
