"""A drill runner that is killed in mid-fault leaves neither its fault nor a process behind."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import yaml

from moneypath.stack.endpoints import Endpoints
from moneypath.target.exchange import Exchange
from moneypath.workflows.targets import exchange_with_stack

LEASE_SECONDS = 10.0
PATIENCE_SECONDS = 90.0
DRILL = "drills/drill-002-partial-provider-outage.yaml"


async def _until(holds: Callable[[], bool], what: str) -> None:
    """Poll what another process does: there is no event to await."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"waited {PATIENCE_SECONDS:g} s for {what}"
        await asyncio.sleep(0.05)


def _tree(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def _gone(processes: list[psutil.Process]) -> bool:
    return not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes)


@asynccontextmanager
async def _command(project: Path, state: Path, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    said = state / f"{arguments[0]}.said"
    with said.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "moneypath", *arguments,
            cwd=project,
            env={**os.environ, "XDG_STATE_HOME": str(state)},
            stdout=file,
            stderr=file,
        )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        sys.stdout.write(said.read_text())  # shown if the test fails


async def _active(exchange: Exchange) -> list[Any]:
    """Return the faults that are active at the provider that the drill breaks."""
    hits = exchange.target.document.faults["provider"].hits
    assert hits is not None
    found = (await exchange.ask(hits, place="north")).field("faults")
    assert isinstance(found, list)
    return found


async def test_sigkill_in_mid_fault_leaves_no_fault_and_no_process(project: Path, tmp_path: Path) -> None:
    """The fault ends within its lease by itself; the stack stays up for others and stops in order."""
    runs = tmp_path / "moneypath" / "runs"
    drill = yaml.safe_load((project / DRILL).read_text())
    scale, rate = str(drill["clock"]["scale"]), str(drill["load"]["checkouts_per_second"])
    async with _command(project, tmp_path, "stack", "up", "--scale", scale, "--checkouts", rate) as stack:
        await _until(lambda: any(runs.glob("*-stack-*/endpoints.json")), "the stack")
        (run_folder,) = runs.glob("*-stack-*")
        servers = _tree(stack.pid)
        async with _command(project, tmp_path, "drill", "run", DRILL, "--stack", str(run_folder)) as runner:
            await _until(lambda: _happened(runs, "fault.effective"), "the fault's effect")
            drill_tree = _tree(runner.pid)
            runner.send_signal(signal.SIGKILL)
            killed_at = time.monotonic()
            assert await runner.wait() == -signal.SIGKILL
        exchange = exchange_with_stack(project, Endpoints.load(run_folder))
        assert await _active(exchange), "the fault ended before its lease: nothing was tested"
        # It was active after the instant at which it was asked for, however late the answer came.
        asked_at = time.monotonic()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await _active(exchange):
                assert asked_at - killed_at <= LEASE_SECONDS, "the fault outlives its lease"
                await asyncio.sleep(0.05)
                asked_at = time.monotonic()
        await _until(lambda: _gone(drill_tree), "the runner's children to end")
        assert stack.returncode is None, "the stack fell with the drill"
        stack.send_signal(signal.SIGTERM)
        assert await stack.wait() == 128 + signal.SIGTERM
        await _until(lambda: _gone(servers), "the servers to end")


def _happened(runs: Path, kind: str) -> bool:
    for file in runs.glob("*/drill/events.jsonl"):
        # The last line may still be in the middle of being written.
        lines = file.read_text().splitlines(keepends=True)
        if any(line.endswith("\n") and json.loads(line)["kind"] == kind for line in lines):
            return True
    return False
