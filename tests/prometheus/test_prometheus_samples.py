"""Against a real Prometheus: raw samples, exact edges, restarts, and refusals that are not zeros."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from moneypath.capacity.counters import Window, increase, total
from moneypath.prometheus import Prometheus, PrometheusUnreachable, QueryFailed
from moneypath.stack import binaries, prometheus
from moneypath.stack.ports import PortPool
from moneypath.stack.supervisor import Supervisor
from moneypath.workflows.last_scrapes import await_last_scrapes

# A process that counts 3 a second, restarts after 20 s and goes on: promtool takes one sample a second.
RESTART, SECONDS = 20, 40


def _history(end: float) -> str:
    lines = ["# TYPE work counter"]
    for second in range(SECONDS + 1):
        value = 3 * second if second < RESTART else 3 * (second - RESTART)
        lines.append(f'work_total{{part="one"}} {value} {end - SECONDS + second:.3f}')
    return "\n".join((*lines, "# EOF\n"))


@pytest.fixture
async def end(tmp_path: Path) -> float:
    """When the history ends."""
    return float(round(time.time()) - 60)


@pytest.fixture
async def server(tmp_path: Path, end: float) -> AsyncIterator[Prometheus]:
    """A Prometheus that holds the history."""
    folder = tmp_path / "prometheus"
    await prometheus.backfill(binaries.find("promtool"), folder / "data", _history(end))
    async with Supervisor(tmp_path) as supervisor:
        with PortPool() as ports:
            port = ports.reserve("prometheus")
            await supervisor.start(
                prometheus.spec(binaries.find("prometheus"), folder, port, rule_files=[], scrape_targets={})
            )
            yield Prometheus(f"http://127.0.0.1:{port}")


async def test_a_window_counts_exactly_what_was_counted_over_a_restart(
    server: Prometheus, end: float
) -> None:
    """Every sample comes raw: an increase() would extrapolate, and a plain difference be wrong."""
    start = end - SECONDS
    (series,) = await server.raw_samples("work_total", start + 5, end - 5)
    assert series.labels["part"] == "one"
    assert len([at for at, _ in series.samples if start + 5 <= at <= end - 5]) == SECONDS - 10 + 1
    # 14 s before the restart count 3 each, the sample at the restart counts 0, 15 s after it count 3 each.
    window = Window(start + 5, end - 5, end - 5)
    assert increase(series.samples, window.start, window.end) == 3 * (14 + 15)
    assert total([series], window) == 3 * 29


async def test_one_value_or_none(server: Prometheus, end: float) -> None:
    """No sample is None, and a refused query an error that names it."""
    assert await server.value(f"max(work_total @ {end:.3f})") == 3 * (SECONDS - RESTART)
    assert await server.value("absent_series") is None
    assert await server.raw_samples("absent_series", end - 5, end) == ()
    with pytest.raises(QueryFailed, match="sum of what"):
        await server.value("sum of what")


async def test_a_process_that_is_not_scraped_is_named(server: Prometheus) -> None:
    """It may hang, so nothing of its counters is known."""
    with pytest.raises(QueryFailed, match="refpay-api"):
        await await_last_scrapes(server, ("refpay-api",), time.time(), 0.3)


async def test_no_prometheus_is_an_error_and_no_number() -> None:
    """Not an empty answer."""
    with pytest.raises(PrometheusUnreachable, match="does not answer"):
        await Prometheus("http://127.0.0.1:1").value("up")
