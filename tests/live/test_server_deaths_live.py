"""Whichever server dies, a command ends with a sentence that names it and one that says what to do."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from moneypath.path.loader import FILE_NAME, load
from moneypath.stack.errors import ServerDied
from moneypath.stack.starters import LiveStackSettings
from moneypath.workflows.server_deaths import unless_server_dies
from refstack.live_stack import running_stack

SERVERS = {
    "postgres", "nats", "acquirer-north", "acquirer-south", "pager", "refpay-api", "refpay-worker",
    "prometheus", "alertmanager", "alert-silences",
}  # fmt: skip
PATIENCE_SECONDS = 120.0
# Each command, killed of another server, so that the four see four of them.
COMMANDS = {
    "postgres": ("stack", "up", "--scale", "60"),
    "prometheus": ("demo",),
    "pager": ("drill", "run", "drills/drill-006-double-charge.yaml"),
    "nats": ("gate",),
}


async def test_every_death_is_named_with_its_signal_and_its_log(project: Path, tmp_path: Path) -> None:
    """Each server is killed for real while work goes on; a crash and an end in order are told apart."""
    settings = LiveStackSettings(load(project / FILE_NAME), tmp_path / "run", scale=60)
    told = {}
    async with running_stack(settings, lambda _: None) as live:
        assert set(live.supervisor.pids()) == SERVERS
        for name in [*sorted(SERVERS - {"postgres"}), "postgres"]:
            for number in (signal.SIGKILL, signal.SIGABRT) if name == "pager" else (signal.SIGKILL,):
                os.kill(live.supervisor.pids()[name], number)
                with pytest.raises(ServerDied) as died:
                    await unless_server_dies(live.supervisor, asyncio.Event().wait())
                told[name, number] = died.value
                await live.supervisor.restart(name)
    for (name, number), error in told.items():
        log = tmp_path / "run" / "logs" / f"{name}.log"
        first = error.what.splitlines()[0]
        assert first.startswith(f"server died: {name} (killed by {number.name}); "), first
        assert log.is_file()
        assert name in error.hint
        assert str(log) in error.hint
        assert error.hint.count(".\n") == 0
        assert ("dmesg" in error.hint) is (number is signal.SIGKILL)


@pytest.mark.proof
@pytest.mark.parametrize("victim", COMMANDS)
async def test_a_command_ends_with_the_death(project: Path, tmp_path: Path, victim: str) -> None:
    """Stack, demo, drill and gate say which server died, how, and where its log is, and nothing more."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "moneypath", *COMMANDS[victim],
        cwd=project,
        env={**os.environ, "XDG_STATE_HOME": str(tmp_path), "COLUMNS": "400"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        await _kill_once_up(process.pid, tmp_path, victim)
        _, raw = await asyncio.wait_for(process.communicate(), PATIENCE_SECONDS)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    said = raw.decode()
    (run_folder,) = tmp_path.glob("moneypath/runs/*")
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, said
    assert errors[0].startswith(f"error: server died: {victim} (killed by SIGKILL)"), said
    assert f"its log is {run_folder}/logs/{victim}.log." in said.splitlines()[-1], said
    assert process.returncode not in (0, None)


async def _kill_once_up(parent: int, state: Path, victim: str) -> None:
    """Kill the victim when the whole stack is up."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (found := list(state.glob("moneypath/runs/*/endpoints.json"))):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        log = found[0].parent / "logs" / f"{victim}.log"
        for process in psutil.Process(parent).children(recursive=True):
            if any(file.path == str(log) for file in process.open_files()) or _writes_to(process.pid, log):
                process.kill()
                return
    raise AssertionError(f"not found: {victim}")


def _writes_to(pid: int, log: Path) -> bool:
    return Path(f"/proc/{pid}/fd/1").resolve() == log
