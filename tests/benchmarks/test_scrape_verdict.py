"""The measurement of requests beside a scrape fails when ours is slow, and when its goal says nothing."""

import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Import the script as it imports what lies beside it."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    known = set(sys.modules)
    import telemetry_scrape

    yield telemetry_scrape
    for name in ("telemetry_scrape", "measuring", "loop_clock"):
        if name not in known:
            sys.modules.pop(name, None)


def rounds(script: ModuleType, *, ours: float, control: float) -> list[dict[str, float]]:
    """Return p99 by path: two rounds of seven stood still, one in either spell, as on a busy machine."""
    alone = {script.NOTHING: 0.001, script.OURS: 0.001 * ours, script.BLOCKING: 0.001 * control}
    return [alone] * 5 + [{**alone, script.OURS: 1.0}, {**alone, script.NOTHING: 1.0}]


@pytest.mark.parametrize(
    ("ours", "control", "said"),
    [
        (1.2, 90.0, []),
        (1.5, 1.51, []),
        (1.53, 90.0, ["Ours is 1.53 x"]),
        (1.2, 1.5, ["The control on the loop is 1.50 x"]),
        (1.6, 1.2, ["Ours is 1.60 x", "The control on the loop is 1.20 x"]),
    ],
)
def test_ours_has_to_meet_the_goal_and_the_control_to_miss_it(
    script: ModuleType, ours: float, control: float, said: list[str]
) -> None:
    """Each failure is named; outliers of single rounds decide nothing."""
    quiet = rounds(script, ours=1.0, control=90.0)
    found = script.failures(rounds(script, ours=ours, control=control), quiet)
    assert [sentence.partition(",")[0] for sentence in found] == said


def test_wall_clock_does_not_judge_ours_but_its_control_has_to_miss(script: ModuleType) -> None:
    """A busy machine is no defect; a measurement that cannot fail is one."""
    quiet = rounds(script, ours=1.0, control=90.0)
    assert script.failures(quiet, rounds(script, ours=4.0, control=90.0)) == []
    (said,) = script.failures(quiet, rounds(script, ours=1.0, control=1.4))
    assert said.startswith("The control by the wall is 1.40 x")


def test_script_ends_with_one_for_a_failure(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The rows are printed in any case; the smallest run, whose numbers mean nothing, is not judged."""
    monkeypatch.setattr(script, "render_rows", lambda _repeats: [])
    for ours, options, code in ((1.2, [], 0), (1.6, [], 1), (1.6, ["--smoke"], 0)):
        found = [{**each, script.AT_ONCE: 1.0} for each in rounds(script, ours=ours, control=90.0)]
        monkeypatch.setattr(script, "measure_on_the_loop", lambda _spells, _seconds, found=found: found)
        monkeypatch.setattr(script, "measure_by_wall", lambda _spells, _seconds, found=found: found)
        monkeypatch.setattr(sys, "argv", ["telemetry_scrape.py", *options])
        assert script.main() == code
        shown = capsys.readouterr()
        assert "the same, of an endpoint that blocks" in shown.out
        assert bool(shown.err) is bool(code)


def test_requests_beside_a_blocking_endpoint_are_late_on_the_loop(script: ModuleType) -> None:
    """Those that came due while it blocked have waited, and no idle time is spent."""
    loop = script.ProcessorLoop()

    async def block() -> None:
        script.spend(0.05)

    try:
        took = script.latencies(loop, 0.2, lambda: None, 0.01, block, 0.1)
        assert max(took) > 0.01
        assert min(script.latencies(loop, 3600.0, lambda: None, 600.0, None, 1.0)) >= 0
    finally:
        loop.close()


@pytest.fixture
def port() -> Iterator[int]:
    """Yield the port of a server that answers each request of one connection at once."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as threads:
        served = threads.submit(answer_at_once, listener)
        yield listener.getsockname()[1]
        served.result(timeout=30)


def answer_at_once(listener: socket.socket) -> None:
    """Answer until the client closes the connection."""
    listener.settimeout(30)
    connection, _ = listener.accept()
    with connection:
        connection.settimeout(30)
        while connection.recv(4096).endswith(b"\r\n\r\n"):
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")


def test_latency_counts_from_when_a_request_was_due(script: ModuleType, port: int) -> None:
    """A request that could not be sent in time has waited, however soon its answer comes."""
    now = script.perf_counter()
    overdue, early = script.ask(port, "/", [now - 100.0, now])
    assert overdue >= 100.0
    assert 0 <= early < 100.0


def test_requests_that_are_overdue_are_sent_and_scrapes_left_out(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that was held up for a second sends what it owes; Prometheus skips scrapes."""
    clock = [100.0]
    monkeypatch.setattr(script, "perf_counter", lambda: clock[0])
    found = {}
    for name, interval, spread in (("requests", 0.01, 0.5), ("scrapes", 0.1, 0)):
        clock[0] = 100.0
        plan = iter(script.dues(101.0, interval, spread))
        found[name] = [next(plan)]
        clock[0] = 101.0
        found[name] += plan
    assert found["scrapes"] == [100.0]
    assert 60 <= len(found["requests"]) <= 200
    assert max(found["requests"]) < 101.0
