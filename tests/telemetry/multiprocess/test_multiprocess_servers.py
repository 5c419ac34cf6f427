"""Real servers with several workers on one port: one correct scrape, before and after a worker is killed."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.telemetry.multiprocess.serving import SERVERS, WORKERS, Served, serving

PAYMENTS = 60


@pytest.fixture(params=SERVERS)
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Served]:
    """Start the server."""
    with serving(request.param, tmp_path) as server:
        yield server


def test_several_workers_give_one_scrape(served: Served) -> None:
    """Any worker returns the sum. Killed and replaced workers stay counted, and their files are removed."""
    taken = served.pay(PAYMENTS)
    assert len(taken) > 1
    assert {served.paid() for _ in range(2 * WORKERS)} == {PAYMENTS}

    victim = taken.most_common(1)[0][0]
    os.kill(victim, signal.SIGKILL)
    assert served.counts_until_without({victim}) == {PAYMENTS}

    assert victim not in served.pay(PAYMENTS)
    assert {served.paid() for _ in range(2 * WORKERS)} == {2 * PAYMENTS}
    assert served.workers().isdisjoint({victim})

    replaced = served.workers()
    served.process.send_signal(signal.SIGHUP)
    assert served.counts_until_without(replaced) == {2 * PAYMENTS}
    assert {served.paid() for _ in range(2 * WORKERS)} == {2 * PAYMENTS}
