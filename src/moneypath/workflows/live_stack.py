"""The whole money path, live: database, NATS, acquirers, payment service, Prometheus, Alertmanager, pager."""

import asyncio
import contextlib
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from moneypath.alerting.timing import Scale
from moneypath.path.model import MoneyPath
from moneypath.stack import nats, postgres
from moneypath.stack.endpoints import FILE_NAME as ENDPOINTS_FILE
from moneypath.stack.endpoints import Endpoints
from moneypath.stack.folders import private_files
from moneypath.stack.nats_healing import healing
from moneypath.stack.ports import PortPool
from moneypath.stack.server import ServerSpec, http_ready
from moneypath.stack.supervisor import Supervisor
from moneypath.workflows.credentials import Credentials, mint
from moneypath.workflows.migration import migrate
from moneypath.workflows.monitoring import MonitoringBuilder, find_programs
from moneypath.workflows.server_deaths import unless_server_dies

# Short, so that an unanswered authorization is resolved while people still watch.
PROVIDER_TIMEOUT_SECONDS: Final = 1.0
OUTCOME_DEADLINE_SECONDS: Final = 8.0
# How much time a settlement report of an acquirer covers; in production it is a day.
SETTLEMENT_PERIOD_SECONDS: Final = 2
# Several times in a period.
RECONCILE_INTERVAL_SECONDS: Final = 0.5
# What the scale does not change, with what it is in production.
NOT_DILATED: Final = (
    f"a settlement report every {SETTLEMENT_PERIOD_SECONDS} s (production: a day)",
    f"reconciliation every {RECONCILE_INTERVAL_SECONDS:g} s",
    f"a provider's time-out of {PROVIDER_TIMEOUT_SECONDS:g} s",
    f"{OUTCOME_DEADLINE_SECONDS:g} s until an outcome is asked for",
)
# What a stopped stack must not leave: secrets, the database, messages, addresses. Evidence stays.
REMOVED_AT_END: Final = ("secrets", "postgres", "nats", ENDPOINTS_FILE)

Announce = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Build:
    """The payment service to run: two modules for `python -m`; `folder` is where Python finds them."""

    api: str = "refpay.app"
    worker: str = "refpay.worker"
    folder: Path | None = None

    @property
    def environment(self) -> Mapping[str, str]:
        """Return the environment in which Python finds the modules."""
        return {} if self.folder is None else {"PYTHONPATH": str(self.folder)}


@dataclass(frozen=True, slots=True)
class LiveStackSettings:
    """What to run and where: `run_folder` holds all state of the run, `scale` shortens the alerts' windows.

    `events_per_second` is the expected load over all providers; the backfilled history has the same.
    """

    path: MoneyPath
    run_folder: Path
    scale: int
    events_per_second: int = 20
    build: Build = field(default_factory=Build)


@dataclass(frozen=True, slots=True)
class LiveStack:
    """A running money path."""

    endpoints: Endpoints
    supervisor: Supervisor
    clamped: tuple[str, ...]


@contextlib.asynccontextmanager
async def running_stack(settings: LiveStackSettings, announce: Announce) -> AsyncIterator[LiveStack]:
    """Start everything, yield it, and stop it in order however the block is left.

    Raises what the stack raises: a missing binary, a taken port, an unwritable folder, a server that dies.
    """
    path, folder = settings.path, settings.run_folder
    with private_files():
        credentials = mint(folder / "secrets", providers=path.provider_ids(), roles=path.paged_roles())
        try:
            with PortPool() as ports:
                async with Supervisor(folder) as supervisor:
                    for name in REMOVED_AT_END:
                        supervisor.remove_at_end(folder / name)
                    async with contextlib.AsyncExitStack() as tasks:
                        builder = _StackBuilder(settings, credentials, ports, supervisor, announce, tasks)
                        yield await unless_server_dies(supervisor, builder.build())
        finally:
            _remove_leftovers(folder)


class _StackBuilder:
    """Starts the servers of one run, each after those that it needs."""

    def __init__(
        self,
        settings: LiveStackSettings,
        credentials: Credentials,
        ports: PortPool,
        supervisor: Supervisor,
        announce: Announce,
        tasks: contextlib.AsyncExitStack,
    ) -> None:
        self._settings, self._credentials = settings, credentials
        self._ports, self._supervisor, self._announce = ports, supervisor, announce
        self._tasks = tasks
        self._folder = settings.run_folder
        # Known before anything listens there: acquirers tell the payment service what happened.
        self._api_port = ports.reserve("refpay-api")

    async def build(self) -> LiveStack:
        path = self._settings.path
        async with asyncio.TaskGroup() as group:
            programs = group.create_task(asyncio.to_thread(find_programs, self._announce))
            database = group.create_task(self._database())
            messages = group.create_task(self._nats())
            pager = group.create_task(self._pager())
            acquirers = {name: group.create_task(self._acquirer(name)) for name in path.provider_ids()}
        urls = {name: task.result() for name, task in acquirers.items()}
        refpay, worker = await self._refpay(database.result(), messages.result(), urls)
        monitoring = await MonitoringBuilder(
            self._settings.path, Scale(self._settings.scale), self._folder, self._ports, self._supervisor
        ).begin(
            programs.result(),
            pager_url=pager.result(),
            pager_token_file=self._credentials.alertmanager / "pager_token",
            targets={"refpay-api": _address(refpay), "refpay-worker": _address(worker)},
            events_per_second=self._settings.events_per_second,
        )
        self._announce(
            f"Prometheus and Alertmanager are up: {monitoring.prometheus} {monitoring.alertmanager}"
        )
        endpoints = Endpoints(
            refpay=refpay,
            worker=worker,
            prometheus=monitoring.prometheus,
            alertmanager=monitoring.alertmanager,
            pager=pager.result(),
            acquirers=urls,
            oracle_dsn=database.result().dsn("refpay_oracle"),
            secrets_folder=self._credentials.clients,
            run_folder=self._folder,
            scale=self._settings.scale,
        )
        endpoints.save()
        return LiveStack(endpoints, self._supervisor, monitoring.clamped)

    async def _database(self) -> postgres.Postgres:
        server = await postgres.prepare(
            self._folder / "postgres",
            self._ports.reserve("postgres"),
            superuser_password=self._credentials.superuser,
            roles=self._credentials.database,
        )
        await self._supervisor.start(server.spec)
        self._announce("PostgreSQL is up")
        return server

    async def _nats(self) -> nats.Nats:
        server = await nats.prepare(
            self._folder / "nats",
            self._ports.reserve("nats"),
            self._ports.reserve("nats-monitoring"),
            user="refpay",
            password=self._credentials.nats,
        )
        await self._supervisor.start(server.spec)
        self._announce("NATS is up")
        await self._tasks.enter_async_context(healing(self._supervisor, server, self._announce))
        return server

    async def _acquirer(self, name: str) -> str:
        port = self._ports.reserve(f"acquirer-{name}")
        command = (
            "-m", "acquirers", "--name", name, "--dialect", name, "--port", str(port),
            "--book", str(self._folder / f"{name}.sqlite3"),
            "--secrets-folder", str(self._credentials.acquirer(name)),
            "--settlement-period-seconds", str(SETTLEMENT_PERIOD_SECONDS),
            "--webhook-url", f"http://127.0.0.1:{self._api_port}/v1/webhooks/{name}",
            *_fee_flags(self._settings.path, name),
        )  # fmt: skip
        return await self._python(f"acquirer-{name}", command, port, ready="/readyz")

    async def _pager(self) -> str:
        port = self._ports.reserve("pager")
        command = (
            "-m", "moneypath.stack.pager", "--port", str(port),
            "--store", str(self._folder / "pages.jsonl"),
            "--secrets-folder", str(self._credentials.pager),
        )  # fmt: skip
        return await self._python("pager", command, port, ready="/healthz")

    async def _refpay(
        self, database: postgres.Postgres, messages: nats.Nats, acquirers: Mapping[str, str]
    ) -> tuple[str, str]:
        acknowledgements = self._folder / "acknowledgements"
        acknowledgements.mkdir(mode=0o700, exist_ok=True)
        port, worker_port = self._api_port, self._ports.reserve("refpay-worker")
        environment = {
            "REFPAY_LISTEN_PORT": str(port),
            "REFPAY_WORKER_PORT": str(worker_port),
            "REFPAY_DATABASE_URL": database.url("refpay_app"),
            "REFPAY_SECRETS_FOLDER": str(self._credentials.refpay),
            "REFPAY_ACKNOWLEDGEMENTS_FOLDER": str(acknowledgements),
            "REFPAY_PROVIDER_TIMEOUT_SECONDS": f"{PROVIDER_TIMEOUT_SECONDS:g}",
            "REFPAY_OUTCOME_DEADLINE_SECONDS": f"{OUTCOME_DEADLINE_SECONDS:g}",
            "REFPAY_RECONCILE_INTERVAL_SECONDS": f"{RECONCILE_INTERVAL_SECONDS:g}",
            **{f"REFPAY_{name.upper()}_URL": url for name, url in acquirers.items()},
        }
        build = self._settings.build
        environment |= build.environment
        await migrate({**environment, "REFPAY_SECRETS_FOLDER": str(self._credentials.schema)})
        # The API only writes the outbox, so it does not get the address of NATS.
        worker_environment = {
            **environment,
            "REFPAY_NATS_URL": messages.url,
            "REFPAY_NATS_MONITORING_URL": messages.monitoring_url,
            "REFPAY_DATABASE_FOLDER": str(self._folder / "postgres"),
            "REFPAY_MESSAGES_FOLDER": str(self._folder / "nats"),
        }
        async with asyncio.TaskGroup() as group:
            api = group.create_task(
                self._python("refpay-api", ("-m", build.api), port, ready="/readyz", env=environment)
            )
            worker = group.create_task(
                self._python(
                    "refpay-worker",
                    ("-m", build.worker),
                    worker_port,
                    ready="/readyz",
                    env=worker_environment,
                )
            )
        return api.result(), worker.result()

    async def _python(
        self,
        name: str,
        command: tuple[str, ...],
        port: int,
        *,
        ready: str,
        env: Mapping[str, str] | None = None,
    ) -> str:
        url = f"http://127.0.0.1:{port}"
        await self._supervisor.start(
            ServerSpec(
                name=name,
                command=(sys.executable, *command),
                env=env or {},
                cwd=self._folder,
                port=port,
                ready=http_ready(f"{url}{ready}"),
            )
        )
        self._announce(f"{name} is up: {url}")
        return url


def _remove_leftovers(folder: Path) -> None:
    """Remove what is left when even the supervisor could not be started."""
    for name in REMOVED_AT_END:
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / ENDPOINTS_FILE).unlink(missing_ok=True)


def _fee_flags(path: MoneyPath, provider: str) -> tuple[str, ...]:
    """Return the flags that make an acquirer charge the declared fees."""
    if path.costs is None:
        return ()
    fee = next(fee for fee in path.costs.provider_fees if fee.provider == provider)
    fixed = ",".join(f"{currency}={minor}" for currency, minor in fee.fixed.items())
    return "--fee-basis-points", str(fee.basis_points), "--fee-fixed", fixed


def _address(url: str) -> str:
    return url.removeprefix("http://")
