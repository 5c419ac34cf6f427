"""Fake servers, ports of our own, real programs, and events instead of sleeps."""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from moneypath.stack import binaries
from moneypath.stack.binaries import Binary
from moneypath.stack.ports import PortPool
from moneypath.stack.server import ServerSpec, http_ready
from moneypath.stack.supervisor import Supervisor

FAKE_SERVER = Path(__file__).with_name("fake_server.py")
MakeFake = Callable[..., ServerSpec]


@pytest.fixture
def port_pool() -> Iterator[PortPool]:
    """Reserve ports for one test."""
    with PortPool({}) as reserved:
        yield reserved


@pytest.fixture
async def supervisor(tmp_path: Path) -> AsyncIterator[Supervisor]:
    """Supervise in the test's own folder."""
    async with Supervisor(tmp_path / "run") as entered:
        yield entered


@pytest.fixture
def fake(port_pool: PortPool) -> MakeFake:
    """Make a specification of a fake server; keywords of ServerSpec go there, others to fake_server.py."""

    def make(
        name: str = "fake", *, serves: bool = True, spec: dict[str, Any] | None = None, **wanted: Any
    ) -> ServerSpec:
        port = port_pool.reserve(name)
        if serves:
            wanted["port"] = port
        arguments: dict[str, Any] = {
            "name": name,
            "command": (sys.executable, str(FAKE_SERVER), json.dumps({"name": name, **wanted})),
            "ready": http_ready(f"http://127.0.0.1:{port}/"),
            "port": port,
            "ready_within_seconds": 20.0,
        }
        return ServerSpec(**(arguments | (spec or {})))

    return make


def _found(name: str) -> Binary:
    return binaries.find(name)


@pytest.fixture(scope="session")
def prometheus_binary() -> Binary:
    """Find Prometheus, fetched once per machine."""
    return _found("prometheus")


@pytest.fixture(scope="session")
def promtool_binary() -> Binary:
    """Find promtool."""
    return _found("promtool")


@pytest.fixture(scope="session")
def alertmanager_binary() -> Binary:
    """Find Alertmanager."""
    return _found("alertmanager")


@pytest.fixture
def ends() -> Callable[[Iterable[int], float], Any]:
    """Wait for processes to end, by event; returns those that still live after so many seconds."""

    async def wait_for_ends(pids: Iterable[int], within_seconds: float) -> list[int]:
        async with contextlib.AsyncExitStack() as stack:
            waits = {}
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    descriptor = os.pidfd_open(pid)
                    stack.callback(os.close, descriptor)
                    waits[pid] = asyncio.create_task(_readable(descriptor))
            if waits:
                await asyncio.wait(waits.values(), timeout=within_seconds)
            alive = [pid for pid, task in waits.items() if not task.done()]
            for task in waits.values():
                task.cancel()
            await asyncio.gather(*waits.values(), return_exceptions=True)
            return alive

    return wait_for_ends


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    done = asyncio.Event()
    loop.add_reader(descriptor, done.set)
    try:
        await done.wait()
    finally:
        loop.remove_reader(descriptor)
