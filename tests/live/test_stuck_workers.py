"""Silence pages: what is stuck or gone is told of in time, though everything that can still be read reads 0.

One running stack, one real fault after the other from outside the service, each healed before the next.
"""

import asyncio
import logging
import math
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from moneypath.alerting.facts import describe
from moneypath.alerting.timing import Scale
from moneypath.drills.load import LoadPlan
from moneypath.drills.scenario import Load
from moneypath.incidents.paging import Pager
from moneypath.path.loader import FILE_NAME, load
from moneypath.prometheus import Prometheus
from moneypath.stack.starters import LiveStack, LiveStackSettings
from refstack.live_stack import running_stack

from .conftest import PROJECT, superuser

pytestmark = pytest.mark.asyncio(loop_scope="module")

_LOG = logging.getLogger(__name__)
SCALE = 60
LOAD = Load(checkouts_per_second=6, users=6, card_ranges={"411111": 7, "550000": 3})
PATIENCE_SECONDS = 90.0
# What is promised is reckoned from intervals alone; a busy machine takes its time to scrape and to deliver.
MACHINE_SECONDS = 5.0
PATH = load(PROJECT / FILE_NAME)
# Every gauge that the declaration wants to be 0, and what the checks say of themselves.
ZEROES = ("moneypath_check_violations", *(series for check in PATH.checks for series in check.series))
TARGET_DOWN = "MoneyPathTargetDown"
WAITING = """
    SELECT count(*) FROM pg_stat_activity
    WHERE wait_event_type = 'Lock' AND usename = 'refpay_app' AND query LIKE '%reconciliation.progress%'
"""
# The worker's checks: another process asks for silences.
STALE = tuple(check.alerts.stale for check in PATH.checks if check.id != "alert_silences")

Fault = Callable[[LiveStack], AbstractAsyncContextManager[float]]


async def _until(holds: Callable[[], Awaitable[bool]], what: str) -> None:
    """Poll other processes: there is no event to await."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not await holds():
        assert time.monotonic() < deadline, f"waited {PATIENCE_SECONDS:g} s for {what}"
        await asyncio.sleep(0.1)


@asynccontextmanager
async def reconciliation_waits(live: LiveStack) -> AsyncIterator[float]:
    """Hold the row that reconciling with one of the two providers has to lock; the service waits for it."""
    async with superuser(live) as connection, superuser(live) as observer, connection.transaction():
        began = time.time()
        await connection.execute("SELECT FROM reconciliation.progress WHERE provider = 'north' FOR UPDATE")

        async def waits() -> bool:
            return bool(await observer.fetchval(WAITING))

        # Each of its statements gives up after a while, and the next round waits again.
        await _until(waits, "reconciliation to wait for the row")
        yield began
        await _until(waits, "reconciliation to wait still")


@asynccontextmanager
async def probe_hangs(live: LiveStack) -> AsyncIterator[float]:
    """Put a file among the acknowledgements whose open() does not return, as on a dead network disk."""
    pipe = live.endpoints.run_folder / "acknowledgements" / "hung.jsonl"
    began = time.time()
    os.mkfifo(pipe)
    try:
        yield began
    finally:
        # Refused unless somebody hangs in open() at the other end: the fault was real.
        writer = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        pipe.unlink()
        os.close(writer)


@asynccontextmanager
async def probe_cannot_read(live: LiveStack) -> AsyncIterator[float]:
    """Take the folder of the acknowledgements away; their writers go on, for their files stay open."""
    folder = live.endpoints.run_folder / "acknowledgements"
    began = time.time()
    away = folder.rename(folder.with_name("elsewhere"))
    try:
        yield began
    finally:
        away.rename(folder)


@asynccontextmanager
async def exporter_hangs(live: LiveStack) -> AsyncIterator[float]:
    """Stop the worker's process without ending it: the connection is taken, no answer comes."""
    pid = live.supervisor.pids()["refpay-worker"]
    began = time.time()
    os.kill(pid, signal.SIGSTOP)
    try:
        yield began
    finally:
        os.kill(pid, signal.SIGCONT)


@asynccontextmanager
async def exporter_repeats_itself(live: LiveStack) -> AsyncIterator[float]:
    """Answer the scrape in the worker's place with what it last said, as a cache in between would."""
    url = urlsplit(live.endpoints.worker)
    began = time.time()
    async with aiohttp.ClientSession() as session, session.get(f"{url.geturl()}/metrics") as answer:
        content, kind = await answer.read(), answer.headers["Content-Type"]

    async def repeat(_: web.Request) -> web.Response:
        return web.Response(body=content, headers={"Content-Type": kind})

    app = web.Application()
    app.router.add_get("/metrics", repeat)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await live.supervisor.kill("refpay-worker")
    try:
        await web.TCPSite(runner, url.hostname, url.port).start()
        yield began
    finally:
        await runner.cleanup()
        await live.supervisor.restart("refpay-worker")


@asynccontextmanager
async def worker_is_gone(live: LiveStack) -> AsyncIterator[float]:
    """End the whole worker."""
    began = time.time()
    await live.supervisor.kill("refpay-worker")
    try:
        yield began
    finally:
        await live.supervisor.restart("refpay-worker")


@dataclass(frozen=True, slots=True)
class Case:
    """`alerts` have to page; `fresh` if the gauges can still be read while they do."""

    fault: Fault
    alerts: tuple[str, ...]
    fresh: bool


CASES = (
    Case(reconciliation_waits, ("MoneyPathReconciliationStale",), fresh=True),
    Case(probe_hangs, ("MoneyPathLedgerProbeStale",), fresh=True),
    Case(probe_cannot_read, ("MoneyPathLedgerProbeStale",), fresh=True),
    Case(exporter_hangs, (TARGET_DOWN,), fresh=False),
    Case(exporter_repeats_itself, STALE, fresh=True),
    Case(worker_is_gone, (TARGET_DOWN, *STALE), fresh=False),
)


@dataclass(frozen=True, slots=True)
class Watched:
    """A running stack, and who receives its pages."""

    live: LiveStack
    pager: Pager

    async def firing(self) -> set[str]:
        """Return the alerts that fire or are about to, the heartbeat left out."""
        query = Prometheus(self.live.endpoints.prometheus).query
        return {sample.labels["alertname"] for sample in await query('ALERTS{severity!="none"}')}

    async def be_quiet(self) -> None:
        """Wait until nothing fires."""

        async def quiet() -> bool:
            return not await self.firing()

        try:
            await _until(quiet, "silence")
        except AssertionError as problem:
            raise AssertionError(f"still firing: {await self.firing()}") from problem

    async def last_page(self) -> int:
        """Return the number of the newest page."""
        seq = 0
        while pages := await self.pager.pages_after(seq, wait_seconds=0):
            seq = pages[-1].seq
        return seq

    async def paged(self, wanted: Collection[tuple[str, str]], after: int) -> dict[tuple[str, str], float]:
        """Return when each alert first paged each role, once all have; as far as known if some do not."""
        found: dict[tuple[str, str], float] = {}
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not found.keys() >= set(wanted) and time.monotonic() < deadline:
            for page in await self.pager.pages_after(after, wait_seconds=1):
                after = page.seq
                for alert in page.alerts:
                    if alert.status == "firing":
                        found.setdefault((alert.name, page.role), page.at)
        return found

    async def assert_zeroes(self, *, fresh: bool) -> None:
        """Assert that every gauge that has to be 0 is: now if it is `fresh`, or when it was last seen."""
        query = Prometheus(self.live.endpoints.prometheus).query
        for name in ZEROES:
            samples = await query(name if fresh else f"max_over_time({name}[20s])")
            assert samples, f"nothing is known of {name}"
            assert {sample.value for sample in samples} == {0.0}, (name, samples)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def watched(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Watched]:
    """Run the whole stack under a little load for all cases."""
    folder = tmp_path_factory.mktemp("stuck")
    settings = LiveStackSettings(PATH, folder, SCALE, events_per_second=LOAD.checkouts_per_second)
    async with running_stack(settings, lambda _: None) as live, Pager(live.endpoints.pager) as pager:
        await live.supervisor.start(
            LoadPlan(PROJECT, live.endpoints, folder / "acknowledgements.jsonl", LOAD, 13).spec()
        )
        yield Watched(live, pager)
        await live.supervisor.stop("load")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.fault.__name__)
async def test_silence_pages_in_time_though_all_is_zero(watched: Watched, case: Case) -> None:
    """Each role is paged within the declared time and the machine's, and every gauge that has to be 0 is."""
    await watched.be_quiet()
    after = await watched.last_page()
    wanted = {
        (fact.name, role): float(fact.detect_within_seconds)
        for fact in describe(PATH, Scale(SCALE))
        for role in fact.roles
        if fact.name in case.alerts and fact.detect_within_seconds is not None
    }
    assert {name for name, _ in wanted} == set(case.alerts)
    async with case.fault(watched.live) as began:
        paged = await watched.paged(wanted, after)
        await watched.assert_zeroes(fresh=case.fresh)
    took = {key: paged.get(key, math.inf) - began for key in wanted}
    for (name, role), budget in wanted.items():
        _LOG.info("%s to %s: %.2f s of %g s", name, role, took[name, role], budget)
    late = {key: seconds for key, seconds in took.items() if not 0 < seconds <= wanted[key] + MACHINE_SECONDS}
    assert not late, f"paged too late: {late}, promised {wanted}"
