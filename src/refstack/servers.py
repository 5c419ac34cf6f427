"""Start the servers of one run: database, NATS, acquirers, payment service, monitoring, pager."""

import asyncio
import contextlib
import sys
from collections.abc import Mapping
from typing import Final

from moneypath.alerting.timing import Scale
from moneypath.path.model import MoneyPath
from moneypath.stack import nats, postgres
from moneypath.stack.endpoints import Endpoints
from moneypath.stack.nats_healing import healing
from moneypath.stack.ports import PortPool
from moneypath.stack.server import ServerSpec, http_ready
from moneypath.stack.starters import Announce, Build, LiveStack, LiveStackSettings
from moneypath.stack.supervisor import Supervisor
from moneypath.workflows.monitoring import MonitoringBuilder, find_programs
from refstack.credentials import DATABASE, DATABASE_OWNER, NATS_USER, Credentials
from refstack.migration import migrate

# The target that this stack is, and what each of its alerts and pages says of its environment.
TARGET: Final = "reference"
ENVIRONMENT: Final = "reference"
# The build of this revision.
BUILD: Final = Build(api="refpay.app", worker="refpay.worker")
API: Final = "refpay-api"
WORKER: Final = "refpay-worker"
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


class StackBuilder:
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
        self._api_port = ports.reserve(API)

    async def build(self) -> LiveStack:
        """Start everything, and write where it is."""
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
            self._settings.path,
            Scale(self._settings.scale),
            self._folder,
            self._ports,
            self._supervisor,
            environment=ENVIRONMENT,
        ).begin(
            programs.result(),
            pager_url=pager.result(),
            pager_token_file=self._credentials.alertmanager / "pager_token",
            targets={API: _address(refpay), WORKER: _address(worker)},
            events_per_second=self._settings.events_per_second,
        )
        self._announce(
            f"Prometheus and Alertmanager are up: {monitoring.prometheus} {monitoring.alertmanager}"
        )
        endpoints = Endpoints(
            target=TARGET,
            service=refpay,
            worker=worker,
            prometheus=monitoring.prometheus,
            alertmanager=monitoring.alertmanager,
            pager=pager.result(),
            providers=urls,
            oracle_dsn=database.result().dsn("refpay_oracle"),
            secrets_folder=self._credentials.clients,
            run_folder=self._folder,
            scale=self._settings.scale,
        )
        endpoints.save()
        return LiveStack(
            endpoints=endpoints,
            supervisor=self._supervisor,
            build_servers=(API, WORKER),
            clamped=monitoring.clamped,
            not_dilated=NOT_DILATED,
        )

    async def _database(self) -> postgres.Postgres:
        server = await postgres.prepare(
            self._folder / "postgres",
            self._ports.reserve("postgres"),
            superuser_password=self._credentials.superuser,
            roles=self._credentials.database,
            owner=DATABASE_OWNER,
            database=DATABASE,
        )
        await self._supervisor.start(server.spec)
        self._announce("PostgreSQL is up")
        return server

    async def _nats(self) -> nats.Nats:
        server = await nats.prepare(
            self._folder / "nats",
            self._ports.reserve("nats"),
            self._ports.reserve("nats-monitoring"),
            user=NATS_USER,
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
        port, worker_port = self._api_port, self._ports.reserve(WORKER)
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
        build = self._settings.build or BUILD
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
                self._python(API, ("-m", build.api), port, ready="/readyz", env=environment)
            )
            worker = group.create_task(
                self._python(
                    WORKER,
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


def _fee_flags(path: MoneyPath, provider: str) -> tuple[str, ...]:
    """Return the flags that make an acquirer charge the declared fees."""
    if path.costs is None:
        return ()
    fee = next(fee for fee in path.costs.provider_fees if fee.provider == provider)
    fixed = ",".join(f"{currency}={minor}" for currency, minor in fee.fixed.items())
    return "--fee-basis-points", str(fee.basis_points), "--fee-fixed", fixed


def _address(url: str) -> str:
    return url.removeprefix("http://")
