"""`make demo KEEP=1` passes and stays up after its scorecard, and Ctrl-C ends it as a drill that passed.

No other test runs the demo: without KEEP it does the same and ends after the scorecard.
"""

import asyncio
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import aiohttp
import psutil

from moneypath.cli.live_view import addresses
from moneypath.incidents.verification import EvidenceVerdict, References
from moneypath.stack.endpoints import Endpoints
from moneypath.workflows.evidence_verification import verify

PATIENCE_SECONDS = 150.0


async def test_keep_stays_up_and_ctrl_c_ends_it_in_order(project: Path, tmp_path: Path) -> None:
    """The exit code is the drill's, the evidence verifies, and neither process nor secret is left."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, *_command_of_make(project),
        cwd=project,
        env={**os.environ, "XDG_STATE_HOME": str(tmp_path), "COLUMNS": "200"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        shown = await _read_until(process.stdout, "still running")
        assert "PASSED" in shown, shown[-3000:]
        servers = psutil.Process(process.pid).children(recursive=True)
        (run_folder,) = tmp_path.glob("moneypath/runs/*")
        endpoints = Endpoints.load(run_folder)
        async with aiohttp.ClientSession() as session:
            for url in addresses(endpoints).values():
                assert url in shown, f"not shown: {url}"
                async with session.get(url) as answer:
                    assert answer.status == 200, url
        process.send_signal(signal.SIGINT)
        rest = await asyncio.wait_for(process.stdout.read(), 60)
        assert await process.wait() == 0, rest.decode()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    deadline = time.monotonic() + 60
    while any(server.is_running() for server in servers):
        assert time.monotonic() < deadline, servers
        await asyncio.sleep(0.05)
    found = verify(run_folder / "drill", References())
    assert (found.verdict, found.scored_again) == (EvidenceVerdict.CONSISTENT, True)
    assert found.scorecard is not None
    assert found.scorecard["passed"] is True
    assert not (run_folder / "secrets").exists()
    assert not (run_folder / "endpoints.json").exists()


def _command_of_make(project: Path) -> list[str]:
    recipe = subprocess.run(
        ["make", "--no-print-directory", "-n", "demo", "KEEP=1"],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    python, *words = shlex.split(recipe.stdout.splitlines()[-1])
    assert python == ".venv/bin/python"
    return words


async def _read_until(stream: asyncio.StreamReader, words: str) -> str:
    shown = ""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while words not in shown:
            line = await stream.readline()
            assert line, f"ended before {words!r}: {shown[-3000:]}"
            shown += line.decode()
    return shown
