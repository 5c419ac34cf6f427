"""How many authorizations a second one API process takes, against pgbench with the same SQL.

Run `python benchmarks/refpay_authorize.py`. Real PostgreSQL with `fsync` on, the whole API (auth, audit,
telemetry, outbox, two transactions) in one process, once with acquirers that answer in process and once over
HTTP, and a client in a process of its own. The candidates run interleaved, a few seconds each in turn; the
ratios are medians of neighbours. Trust the ratios, not the rates. Where the machine has other work (`busy`),
the many processes of pgbench get more of it than one of ours, and only "by CPU time alone" tells something.
"""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from time import perf_counter
from typing import Any, Self

import measuring
from moneypath.stack import binaries, postgres
from moneypath.stack.ports import PortPool
from moneypath.stack.server import ServerSpec, http_ready
from moneypath.stack.supervisor import Supervisor
from refpay.db.upgrade import upgrade_schema
from refpay.settings import DatabaseSettings
from refpay_authorize_pgbench import SCRIPTS, Pgbench
from refstack.credentials import mint

HERE = Path(__file__).parent
PROVIDERS = ("north", "south")
GOALS = {"rate": 0.5, "p99_ms": 25.0, "replays": 2.0}


class Child:
    """A script of ours in a process of its own that answers line by line; it ends with its input."""

    def __init__(self, stack: ExitStack, *arguments: str) -> None:
        command = [sys.executable, str(HERE / "refpay_authorize_client.py"), *arguments]
        self._process = stack.enter_context(
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603
        )
        self.pid = self._process.pid
        self._input = stack.enter_context(self._process.stdin or sys.stdin)
        self._output = self._process.stdout or sys.stdin

    def read(self) -> str:
        """Return the next line that it says."""
        return self._output.readline()

    def round(self, kind: str, seconds: float) -> dict[str, Any]:
        """Run a round; raises RuntimeError unless every answer is the expected one."""
        self._input.write(f"{kind} {seconds}\n")
        self._input.flush()
        told: dict[str, Any] = json.loads(self.read())
        replayed = told["count"] if kind == "again" else 0
        if set(told["statuses"]) != {"201"} or told["replayed"] != replayed or told["lost"]:
            raise RuntimeError(f"unexpected answers: {told}")
        return told


class Processors:
    """CPU seconds that processes and their children have used, by name, and those that passed."""

    def __init__(self, pids: Mapping[str, Collection[int]]) -> None:
        self._pids = pids
        self._before = self._read()

    def _read(self) -> dict[str, float]:
        tick = os.sysconf("SC_CLK_TCK")
        parents: dict[int, int] = {}
        seconds: dict[int, float] = {}
        for file in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = file.read_text(encoding="utf-8").rpartition(")")[2].split()
            except OSError:
                continue
            pid = int(file.parent.name)
            parents[pid] = int(fields[1])
            # With the time of children that have ended: pgbench, and the sessions that it had.
            seconds[pid] = sum(map(int, fields[11:15])) / tick
        used = {
            name: sum(spent for pid, spent in seconds.items() if pid in pids or parents[pid] in pids)
            for name, pids in self._pids.items()
        }
        own = os.times()
        return {**used, "pgbench": own.children_user + own.children_system, "wall": perf_counter()}

    def split(self) -> dict[str, float]:
        """Return what was used since it was last asked."""
        now = self._read()
        spent = {name: now[name] - self._before[name] for name in now}
        self._before = now
        return spent


class Bench:
    """The servers of one run."""

    def __init__(self, supervisor: Supervisor, ports: PortPool, folder: Path) -> None:
        self._supervisor, self._ports, self._folder = supervisor, ports, folder
        self._credentials = mint(folder / "secrets", providers=PROVIDERS, roles=())
        self.pids: dict[str, int] = {}
        self._database: postgres.Postgres | None = None

    @classmethod
    @asynccontextmanager
    async def open(cls, folder: Path) -> AsyncIterator[Self]:
        """Run PostgreSQL, migrated."""
        with PortPool({}) as ports:
            async with Supervisor(folder) as supervisor:
                bench = cls(supervisor, ports, folder)
                await bench._start_database()
                yield bench

    async def _start_database(self) -> None:
        prepared = await postgres.prepare(
            self._folder / "postgres",
            self._ports.reserve("postgres"),
            superuser_password=self._credentials.superuser,
            roles=self._credentials.database,
            owner="refpay_owner",
            database="refpay",
        )
        await self._start(prepared.spec)
        owner = DatabaseSettings(
            prepared.url("refpay_owner"), "refpay_owner", self._credentials.database["refpay_owner"]
        )
        await upgrade_schema(owner)
        self._database = prepared

    async def _start(self, spec: ServerSpec) -> None:
        await self._supervisor.start(spec)
        self.pids[spec.name] = self._supervisor.pids()[spec.name]

    async def start_acquirers(self) -> dict[str, str]:
        """Run both acquirers as they are; return their addresses."""
        urls = {}
        for name in PROVIDERS:
            port = self._ports.reserve(name)
            urls[name] = f"http://127.0.0.1:{port}"
            command = (
                sys.executable,
                "-m",
                "acquirers",
                "--name",
                name,
                "--dialect",
                name,
                "--port",
                str(port),
                "--book",
                str(self._folder / f"{name}.db"),
                "--secrets-folder",
                str(self._credentials.acquirer(name)),
                "--decline-rate",
                "0",
                "--latency-ms",
                "0",
            )
            await self._start(
                ServerSpec(
                    name=name, command=command, ready=http_ready(f"{urls[name]}/readyz"), env=python_path()
                )
            )
        return urls

    async def start_api(self, name: str, build: tuple[str, ...], acquirers: Mapping[str, str]) -> int:
        """Run one API process; return its port."""
        assert self._database is not None, "started before"  # noqa: S101 narrows the type
        port = self._ports.reserve(name)
        acknowledgements = self._folder / f"acknowledgements-{name}"
        acknowledgements.mkdir()
        environment = {
            **python_path(),
            "REFPAY_LISTEN_PORT": str(port),
            "REFPAY_DATABASE_URL": self._database.url("refpay_app"),
            "REFPAY_SECRETS_FOLDER": str(self._credentials.refpay),
            # Counted, and never reached.
            "REFPAY_RATE_PRINCIPAL_PER_SECOND": "1000000",
            "REFPAY_RATE_WHOLE_PER_SECOND": "1000000",
            "REFPAY_ACKNOWLEDGEMENTS_FOLDER": str(acknowledgements),
            "REFPAY_NATS_URL": "nats://127.0.0.1:1",
            **{f"REFPAY_{each.upper()}_URL": acquirers.get(each, "http://127.0.0.1:1") for each in PROVIDERS},
        }
        ready = http_ready(f"http://127.0.0.1:{port}/readyz")
        await self._start(
            ServerSpec(name=name, command=(sys.executable, *build), ready=ready, env=environment)
        )
        return port

    def client(self, stack: ExitStack, run: str, port: int) -> Child:
        """Return a client of an API process."""
        file = self._credentials.clients / "checkout_client"
        return Child(stack, f"--port={port}", f"--client-file={file}", f"--run={run}")

    def pgbench(self, name: str, script: str, start: int) -> Pgbench:
        """Return pgbench with a script, on the same database and as the same role."""
        assert self._database is not None, "started before"  # noqa: S101 narrows the type
        return Pgbench(
            binaries.find("postgres").path,
            self._database.url("refpay_app"),
            self._credentials.database["refpay_app"],
            script,
            self._folder / f"{name}.sql",
            start=start,
        )


def python_path() -> dict[str, str]:
    """Return where modules are found, for a process of our own."""
    return {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}


async def measure(rounds: int, seconds: float) -> dict[str, list[dict[str, Any]]]:
    """Return what each round of each candidate gave."""
    found: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name, ExitStack() as stack:
        async with Bench.open(Path(name)) as bench:
            inside = await bench.start_api("inside", (str(HERE / "refpay_authorize_build.py"),), {})
            urls = await bench.start_acquirers()
            outside = await bench.start_api("outside", ("-m", "refpay.app"), urls)
            trivial = Child(stack, "--trivial")
            clients = {
                "client alone": Child(stack, f"--port={int(trivial.read())}"),
                "in process": bench.client(stack, "i", inside),
                "over HTTP": bench.client(stack, "o", outside),
            }
            pgbenches = {
                name: bench.pgbench(f"script{number}", script, number * 1_000_000_000)
                for number, (name, script) in enumerate(SCRIPTS.items())
            }
            pids: dict[str, Collection[int]] = {name: [pid] for name, pid in bench.pids.items()}
            pids["client"] = [client.pid for client in clients.values()]
            processors = Processors(pids)

            async def run(candidate: str, kind: str, client: Child) -> None:
                processors.split()
                told = await asyncio.to_thread(client.round, kind, seconds)
                found.setdefault(candidate, []).append({**told, "cpu": processors.split()})

            for each in ("in process", "over HTTP"):
                await asyncio.to_thread(clients[each].round, "new", min(seconds, 2))
            for _ in range(rounds):
                for each, pgbench in pgbenches.items():
                    processors.split()
                    whole = max(1, round(seconds))
                    rate = await asyncio.to_thread(pgbench.run, whole)
                    told = {"rate": rate, "count": rate * whole, "cpu": processors.split()}
                    found.setdefault(each, []).append(told)
                await run("client alone", "new", clients["client alone"])
                await run("in process", "new", clients["in process"])
                await run("replay", "again", clients["in process"])
                await run("over HTTP", "new", clients["over HTTP"])
    return found


def rows(found: Mapping[str, list[dict[str, Any]]]) -> Iterator[measuring.Row]:
    """Yield the rates, and the ratios that the goals are about; a ratio's goal is its inverse."""

    def median(candidate: str, value: str = "rate") -> float:
        return float(statistics.median(each[value] for each in found[candidate]))

    def ratio(over: str, under: str, goal: float | None = None) -> measuring.Row:
        pairs = zip(found[over], found[under], strict=True)
        value = statistics.median(a["rate"] / b["rate"] for a, b in pairs)
        bound = _bound(found[over]) / _bound(found[under])
        detail = f"{over} is {value:.2f} x as fast; by CPU time alone {bound:.2f} x"
        return measuring.Row(f"{under} / {over}", 1 / value, "x", goal and 1 / goal, detail)

    for name, each in found.items():
        yield measuring.Row(f"{name}: rate", median(name), "/s", detail=cpu(each))
    for name in ("in process", "over HTTP", "replay"):
        yield measuring.Row(f"{name}: p50, 32 clients", median(name, "p50_ms"), "ms")
        goal = GOALS["p99_ms"] if name == "in process" else None
        yield measuring.Row(f"{name}: p99, 32 clients", median(name, "p99_ms"), "ms", goal)
    for name in SCRIPTS:
        yield ratio("in process", name, GOALS["rate"])
    yield ratio("replay", "in process", GOALS["replays"])
    yield ratio("over HTTP", "in process")
    yield ratio("client alone", "in process")


def cost(rounds: list[dict[str, Any]]) -> dict[str, float]:
    """Return the CPU seconds of one request, by who used them."""
    names = [name for name in rounds[0]["cpu"] if name != "wall"]
    return {name: statistics.median(each["cpu"][name] / each["count"] for each in rounds) for name in names}


def _bound(rounds: list[dict[str, Any]]) -> float:
    """Return the rate that the processors allow, whatever else they do; a process of ours has one."""
    used = cost(rounds)
    single = max(used[name] for name in used if name not in ("postgres", "pgbench"))
    return 1 / max(sum(used.values()) / (os.cpu_count() or 1), single)


def cpu(rounds: list[dict[str, Any]]) -> str:
    """Return the CPU time of a request, by who used it, and the share of the machine that all of them had."""
    used = cost(rounds)
    parts = [f"{name} {seconds * 1e6:.0f}" for name, seconds in used.items() if seconds > 5e-6]
    share = statistics.median(
        sum(spent for name, spent in each["cpu"].items() if name != "wall") / each["cpu"]["wall"]
        for each in rounds
    )
    return f"us CPU: {', '.join(parts)}; busy {share / (os.cpu_count() or 1):.0%}"


def main() -> None:
    """Measure and print."""
    parser = measuring.parser(
        "How many authorizations a second one API process takes.", rounds=1, seconds=0.5
    )
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds (default 5)")
    parser.add_argument("--seconds", type=float, default=4, help="of each candidate in a round (default 4)")
    given = parser.parse_args()
    measuring.tell(rows(asyncio.run(measure(given.rounds, given.seconds))), given.json)


if __name__ == "__main__":
    main()
