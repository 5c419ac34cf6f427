"""Start the servers of one run, each after those that it needs."""

import asyncio
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from moneypath.alerting.timing import Scale
from moneypath.stack import postgres, secrets
from moneypath.stack.endpoints import Endpoints
from moneypath.stack.errors import StackError
from moneypath.stack.pager import spec as pager
from moneypath.stack.ports import PortPool
from moneypath.stack.server import ServerSpec, http_ready
from moneypath.stack.starters import Announce, Build, LiveStack, LiveStackSettings
from moneypath.stack.supervisor import Supervisor
from moneypath.workflows.monitoring import MonitoringBuilder, find_programs
from wallet_stack.project import lay_out_checks, lay_out_witnesses, project_folder

TARGET: Final = "wallet"
ENVIRONMENT: Final = "bench"
API: Final = "wallet-api"
WORKER: Final = "wallet-worker"
CHECKS: Final = "ledger-checks"
OWNER, WRITER, READER = "wallet_owner", "wallet_app", "wallet_reader"
CALLERS: Final = ("app", "canary", "operator", "approver")
NOT_DILATED: Final = ("a bank's time-out of 1 s", "2.5 s until a bank is asked what became of an order")
SCHEMA_SECONDS: Final = 60.0


class WalletBuilder:
    """Starts the wallet, its banks and its monitoring in one run's folder."""

    def __init__(
        self,
        settings: LiveStackSettings,
        ports: PortPool,
        supervisor: Supervisor,
        announce: Announce,
        *,
        python: str,
    ) -> None:
        self._settings, self._ports, self._supervisor = settings, ports, supervisor
        self._announce, self._python = announce, python
        self._folder, self._secrets = settings.run_folder, settings.run_folder / "secrets"
        self._project = project_folder()

    async def start(self, build: Build) -> LiveStack:
        """Start everything, and write where it is."""
        build, path = self._settings.build or build, self._settings.path
        programs = await asyncio.to_thread(find_programs, self._announce)
        secrets.mint(self._secrets, [f"{who}_token" for who in CALLERS])
        secrets.mint(self._secrets / "pager", [f"role_{role}_token" for role in path.paged_roles()])
        token = secrets.mint(self._secrets / "pager", ["pager_token"])["pager_token"]
        # A drill acknowledges as each role; the pager alone takes deliveries.
        for role in path.paged_roles():
            name = f"role_{role}_token"
            secrets.write_once(self._secrets / name, secrets.read(self._secrets / "pager", name))
        secrets.write_once(self._secrets / "alertmanager" / "pager_token", token)
        database = await self._database()
        banks = {bank: await self._bank(bank) for bank in path.provider_ids()}
        api, worker = await self._wallet(build, database, banks)
        pager_port = self._ports.reserve("pager")
        await self._supervisor.start(
            pager.spec(self._folder, pager_port, secrets_folder=self._secrets / "pager")
        )
        checks = await self._checks()
        self._put_fault_program()
        monitoring = await MonitoringBuilder(
            path, Scale(self._settings.scale), self._folder, self._ports, self._supervisor,
            environment=ENVIRONMENT,
        ).begin(
            programs,
            pager_url=f"http://127.0.0.1:{pager_port}",
            pager_token_file=self._secrets / "alertmanager" / "pager_token",
            targets={name: url.removeprefix("http://") for name, url in (
                (API, api), (WORKER, worker), (CHECKS, checks)
            )},
            events_per_second=self._settings.events_per_second,
        )  # fmt: skip
        self._announce(f"Prometheus and Alertmanager are up: {monitoring.prometheus}")
        endpoints = Endpoints(
            target=TARGET,
            service=api,
            worker=worker,
            prometheus=monitoring.prometheus,
            alertmanager=monitoring.alertmanager,
            pager=f"http://127.0.0.1:{pager_port}",
            providers=banks,
            oracle_dsn=database.dsn(READER),
            secrets_folder=self._secrets,
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
        passwords = secrets.mint(self._secrets / "database", ["superuser", OWNER, WRITER, READER])
        server = await postgres.prepare(
            self._folder / "postgres",
            self._ports.reserve("postgres"),
            superuser_password=passwords.pop("superuser"),
            roles=passwords,
            owner=OWNER,
            database="wallet",
        )
        await self._supervisor.start(server.spec)
        owner_dsn = self._secrets / "owner_dsn"
        secrets.write_once(owner_dsn, server.dsn(OWNER))
        secrets.write_once(self._secrets / "database_password", server.passwords[WRITER])
        for place in ("checks", "witnesses"):
            secrets.write_once(self._folder / place / "secrets" / "reader_dsn", server.dsn(READER))
        process = await asyncio.create_subprocess_exec(
            self._python, "-m", "wallet.schema", str(owner_dsn), WRITER, READER, env=_environment({}),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        output, _ = await asyncio.wait_for(process.communicate(), SCHEMA_SECONDS)
        if process.returncode:
            last = output.decode(errors="replace").strip().splitlines()[-1:]
            raise StackError(f"The wallet's tables were not created: {' '.join(last)}")
        self._announce("PostgreSQL is up, with the wallet's tables")
        return server

    async def _bank(self, bank: str) -> str:
        folder = self._folder / "banks"
        secrets.mint(folder / "secrets", [f"{bank}_token", f"{bank}_control_token"])
        for name in (f"{bank}_token", f"{bank}_control_token"):
            secrets.write_once(self._secrets / name, secrets.read(folder / "secrets", name))
        port = self._ports.reserve(f"bank-{bank}")
        return await self._server(
            f"bank-{bank}", ("-m", "bank", bank, str(port), str(folder)), port, ready="/health"
        )

    async def _wallet(
        self, build: Build, database: postgres.Postgres, banks: Mapping[str, str]
    ) -> tuple[str, str]:
        (self._folder / "answers").mkdir(mode=0o700, exist_ok=True)
        names = (API, WORKER)
        ports = {name: self._ports.reserve(name) for name in names}
        shared = {
            **build.environment,
            "WALLET_DATABASE_URL": database.url(WRITER),
            "WALLET_SECRETS_FOLDER": str(self._secrets),
            "WALLET_BANKS": ",".join(f"{bank}={url}" for bank, url in banks.items()),
            "WALLET_ANSWERS_FILE": str(self._folder / "answers" / "told.jsonl"),
        }
        api, worker = [
            await self._server(
                name,
                ("-m", module),
                ports[name],
                ready="/health" if name == API else "/metrics",
                env={**shared, "WALLET_PORT": str(ports[name])},
            )
            for name, module in zip(names, (build.api, build.worker), strict=True)
        ]
        return api, worker

    async def _checks(self) -> str:
        declaration = lay_out_checks(self._project, self._folder / "checks", self._settings.scale)
        lay_out_witnesses(self._project, self._folder / "witnesses")
        port = self._ports.reserve(CHECKS)
        command = ("-m", "moneypath", "exporter", "--checks", str(declaration), "--port", str(port))
        return await self._server(CHECKS, command, port, ready="/healthz")

    def _put_fault_program(self) -> None:
        """Put a program beside the run that its target's file can name: it has our Python and our folder."""
        program = self._folder / "bin" / "lose-entry"
        script = self._project / "faults" / "lose_entry.py"
        secrets.write_once(program, f'#!/bin/sh\nexec {shlex.join([self._python, str(script)])} "$@"\n')
        program.chmod(0o700)

    async def _server(
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
                command=(self._python, *command),
                env=_environment(env or {}),
                cwd=self._folder,
                port=port,
                ready=http_ready(f"{url}{ready}"),
            )
        )
        self._announce(f"{name} is up: {url}")
        return url


def _environment(own: Mapping[str, str]) -> dict[str, str]:
    """Return what a Python child needs to find the wallet, from its sources or where it is installed."""
    found = [
        str(Path(__file__).resolve().parents[1]),
        own.get("PYTHONPATH", ""),
        os.environ.get("PYTHONPATH", ""),
    ]
    return {**own, "PYTHONPATH": os.pathsep.join(filter(None, found)), "PYTHONUNBUFFERED": "1"}
