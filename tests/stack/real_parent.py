"""A process that owns a stack, for a test to end it: prints its processes as one JSON line, then waits.

Arguments: run folder, JSON of options: `reaper` another reaper script, `postgres` true to have one with a
backend that computes and would not notice for minutes that its server is gone; `nested` true to have a
third server under a supervisor of its own, in another task, as a drill has its load; `remove` names what
must not outlive the stack.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import asyncpg
import psutil

from moneypath.stack import postgres
from moneypath.stack.ports import PortPool
from moneypath.stack.reaper_link import REAPER_SCRIPT
from moneypath.stack.server import ServerSpec, http_ready
from moneypath.stack.supervisor import Supervisor

FAKE_SERVER = Path(__file__).with_name("fake_server.py")


async def own_a_stack(folder: Path, options: dict[str, Any]) -> None:
    """Start it, tell about it, and wait to be ended."""
    with PortPool() as port_pool:
        async with Supervisor(folder, reaper_script=Path(options.get("reaper", REAPER_SCRIPT))) as supervisor:
            for name in options.get("remove", ()):
                supervisor.remove_at_end(folder / name)
            for name in ("first", "second"):
                await supervisor.start(_fake(name, folder, port_pool))
            if options.get("postgres"):
                await _start_postgres(folder, port_pool, supervisor)
            family = psutil.Process(supervisor.reaper_pid).children(recursive=True)
            told = {
                "reaper": supervisor.reaper_pid,
                "servers": supervisor.pids(),
                "all": sorted(process.pid for process in family),
                "commands": [_command(process) for process in family],
            }
            if not options.get("nested"):
                await _tell_and_wait(told)
            nested = asyncio.create_task(_own_one_more(folder, port_pool, told))
            try:
                await asyncio.wait({nested})
            finally:
                nested.cancel()
                await asyncio.gather(nested, return_exceptions=True)


async def _own_one_more(folder: Path, port_pool: PortPool, told: dict[str, Any]) -> None:
    async with Supervisor(folder / "nested") as supervisor:
        await supervisor.start(_fake("third", folder, port_pool))
        family = psutil.Process(supervisor.reaper_pid).children(recursive=True)
        inner = [supervisor.reaper_pid, *(process.pid for process in family)]
        await _tell_and_wait({**told, "all": [*told["all"], *inner]})


async def _tell_and_wait(told: dict[str, Any]) -> None:
    print(json.dumps(told), flush=True)  # noqa: T201  # the test reads it
    await asyncio.Event().wait()


def _fake(name: str, folder: Path, port_pool: PortPool) -> ServerSpec:
    port = port_pool.reserve(name)
    wanted = {"name": name, "port": port, "events": str(folder / "events"), "offspring": True}
    command = (sys.executable, str(FAKE_SERVER), json.dumps(wanted))
    return ServerSpec(name=name, command=command, ready=http_ready(f"http://127.0.0.1:{port}/"), port=port)


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""  # PostgreSQL's short-lived workers come and go


async def _start_postgres(folder: Path, port_pool: PortPool, supervisor: Supervisor) -> None:
    database = await postgres.prepare(
        folder / "postgres",
        port_pool.reserve("postgres"),
        superuser_password="a-password-of-the-test",
        roles={"refpay_owner": "another-password"},
        owner="refpay_owner",
        database="refpay",
    )
    await supervisor.start(database.spec)
    connection = await asyncpg.connect(database.admin_dsn)
    query = "select count(*) from generate_series(1, 100000000000) a where a % 7 = 8"
    busy = asyncio.create_task(connection.execute(query))
    observer = await asyncpg.connect(database.admin_dsn)
    active = "select count(*) from pg_stat_activity where state = 'active' and pid <> pg_backend_pid()"
    while not await observer.fetchval(active):
        await observer.execute("select pg_sleep(0.01)")
    await observer.close()
    busy.add_done_callback(lambda task: task.cancelled() or task.exception())


if __name__ == "__main__":
    asyncio.run(own_a_stack(Path(sys.argv[1]), json.loads(sys.argv[2])))
