"""The load of a target is the command of its file: it is ready when it drives, and its end ends the drill."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.target.drilled import LOAD, drilled_target

from moneypath.drills import target_load
from moneypath.drills.target_load import TargetLoad
from moneypath.errors import MoneypathError
from moneypath.polling import poll_until
from moneypath.stack.errors import ServerDied
from moneypath.stack.server import ServerSpec
from moneypath.stack.supervisor import Supervisor


@pytest.fixture
async def supervisor(tmp_path: Path) -> AsyncIterator[Supervisor]:
    """Return a supervisor whose servers end with the test."""
    async with Supervisor(tmp_path / "run") as supervisor:
        yield supervisor


def load_of(folder: Path, how: str = "drives", command: list[str] | None = None) -> TargetLoad:
    """Return the load of the wallet."""
    changed = LOAD if command is None else {"command": command}
    return TargetLoad(drilled_target(folder, how=how, load=changed), folder / "answers.jsonl", 50, 9, 7)


def spec_of(load: TargetLoad) -> ServerSpec:
    """Return its process."""
    spec = load.spec()
    assert spec is not None
    return spec


async def test_a_load_that_drives_is_ready_and_goes_on(tmp_path: Path, supervisor: Supervisor) -> None:
    """Its answers stand where the witnesses look for them, and stop when it is stopped."""
    load = load_of(tmp_path)
    await supervisor.start(spec_of(load))
    enough = await poll_until(
        lambda: asyncio.to_thread(load.problem, 10),
        lambda said: not said,
        every_seconds=0.05,
        within_seconds=20,
    )
    assert enough == ""
    await supervisor.stop(target_load.LOAD)
    assert json.loads((tmp_path / "answers.jsonl").read_text().splitlines()[0])["number"] == 1


@pytest.mark.parametrize("how", ["sleeps", "touches"])
async def test_a_load_that_asks_nobody_is_never_ready(
    tmp_path: Path, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """It runs, and writes nothing."""
    monkeypatch.setattr(target_load, "READY_SECONDS", 1.0)
    with pytest.raises(MoneypathError, match="load"):
        await supervisor.start(spec_of(load_of(tmp_path, how)))


async def test_a_load_that_dies_at_once_does_not_begin(tmp_path: Path, supervisor: Supervisor) -> None:
    """Even with exit code 0: a load goes on until it is stopped."""
    with pytest.raises(MoneypathError, match="load"):
        await supervisor.start(spec_of(load_of(tmp_path, "dies")))


async def test_a_load_that_ends_meanwhile_ends_what_it_drove(tmp_path: Path, supervisor: Supervisor) -> None:
    """Whoever watches is told."""
    command = [
        "{python}",
        "-c",
        "open(__import__('sys').argv[1], 'w').write('1' + chr(10))",
        "{answers_file}",
    ]
    load = load_of(tmp_path, command=command)
    try:
        await supervisor.start(spec_of(load))
    except ServerDied:
        return  # it was quicker than the first look
    with pytest.raises(ServerDied, match="load"):
        async with asyncio.timeout(20):
            await supervisor.watch()


def test_a_load_gets_its_words_and_no_secret_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of our environment it has what a command needs to be found, and nothing else."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "open-sesame")
    spec = spec_of(load_of(tmp_path))
    assert spec.command[1:] == (
        "customers.py", "http://127.0.0.1:1", "50", str((tmp_path / "answers.jsonl").absolute())
    )  # fmt: skip
    assert (spec.env["USERS"], spec.env["SEED"], spec.cwd) == ("9", "7", tmp_path.resolve())
    assert set(spec.env) <= {*target_load._KEPT, "USERS", "SEED"}
    assert "open-sesame" not in str(spec.env)


def test_live_traffic_is_no_process(tmp_path: Path) -> None:
    """Nor is a target without a load."""
    for load in ({"live": True}, None):
        assert TargetLoad(drilled_target(tmp_path, load=load), tmp_path / "a", 1, 1, 1).spec() is None


@pytest.mark.parametrize(("lines", "planned", "said"), [
    (0, 0, ""), (0, 1, ""), (0, 2, "0 lines of answers, 2 were planned, needed: at least 1"), (1, 2, ""),
    (1, 200, "1 lines of answers, 200 were planned, needed: at least 100"),
    (99, 200, "99 lines"), (100, 200, ""), (500, 200, ""),
])  # fmt: skip
def test_a_load_is_held_to_its_plan(tmp_path: Path, lines: int, planned: int, said: str) -> None:
    """One order of two hundred is no evidence of the rest; a line that is cut off is none."""
    load = load_of(tmp_path)
    (tmp_path / "answers.jsonl").write_text('{"a": 1}\n' * lines + '{"a"')
    problem = load.problem(planned)
    assert said in problem if said else problem == ""


def test_a_load_without_a_file_of_answers_is_held_to_nothing_here(tmp_path: Path) -> None:
    """One that has such a file and wrote none asked for nothing."""
    assert load_of(tmp_path, command=["true"]).problem(100) == ""
    assert "0 lines" in load_of(tmp_path).problem(100)
