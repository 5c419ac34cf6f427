"""A real PostgreSQL and a real NATS with each unsafe setting: refused at the start, and told of later."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
import pytest_asyncio
import structlog

from moneypath.stack import nats, postgres
from moneypath.stack.server import ServerSpec
from refpay.app.main import open_app
from refpay.db.upgrade import upgrade_schema
from refpay.errors import StartRefused
from refpay.settings import DatabaseSettings, Settings, read_settings
from refpay.worker.main import open_worker

if TYPE_CHECKING:
    from tests.refpay.conftest import Client

    from moneypath.stack.ports import PortPool
    from moneypath.stack.supervisor import Supervisor

NAME = "postgres-durability"
UNSAFE = "moneypath_durability_unsafe"
LINKED = 'moneypath_queue_depth{queue="notifications"} 0'
LOOKED = "moneypath_check_last_success_timestamp_seconds"
SETTINGS = ("fsync", "synchronous_commit", "full_page_writes")


@dataclass(frozen=True, slots=True)
class Server:
    """A PostgreSQL of these tests' own, started anew for each with its settings."""

    supervisor: "Supervisor"
    prepared: postgres.Postgres
    environment: dict[str, str]

    @asynccontextmanager
    async def running(self, *flags: str) -> AsyncIterator[None]:
        """Run it with more settings on its command line."""
        more = [word for flag in flags for word in ("-c", flag)]
        spec = replace(self.prepared.spec, name=NAME, command=(*self.prepared.spec.command, *more))
        await self.supervisor.start(spec)
        try:
            yield
        finally:
            await self.supervisor.stop(NAME)

    async def administer(self, *statements: str) -> None:
        """Run statements as the superuser."""
        admin = await asyncpg.connect(self.prepared.admin_dsn, timeout=30)
        try:
            for statement in statements:
                await admin.execute(statement)
        finally:
            await admin.close()

    def settings(self, **changed: str) -> Settings:
        """Return the settings of a process that nobody allowed anything."""
        return read_settings({**self.environment, **changed})


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def durability_server(
    supervisor: "Supervisor",
    ports: "PortPool",
    secrets_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Server:
    """Prepare a server with a migrated database."""
    folder = tmp_path_factory.mktemp("durability")

    def secret(name: str) -> str:
        return (secrets_folder / name).read_text().strip()

    roles = {name: secret(f"{name}_password") for name in ("refpay_owner", "refpay_app", "refpay_oracle")}
    prepared = await postgres.prepare(
        folder,
        ports.reserve(NAME),
        superuser_password=secret("superuser_password"),
        roles=roles,
        owner="refpay_owner",
        database="refpay",
    )
    environment = {
        "REFPAY_LISTEN_PORT": "0",
        "REFPAY_WORKER_PORT": "0",
        "REFPAY_DATABASE_URL": prepared.url("refpay_app"),
        "REFPAY_SECRETS_FOLDER": str(secrets_folder),
        "REFPAY_ACKNOWLEDGEMENTS_FOLDER": str(folder),
        "REFPAY_NORTH_URL": "http://127.0.0.1:1",
        "REFPAY_SOUTH_URL": "http://127.0.0.1:1",
        "REFPAY_NATS_URL": "nats://127.0.0.1:1",
        "REFPAY_NATS_MONITORING_URL": "http://127.0.0.1:1",
        "REFPAY_CHECK_INTERVAL_SECONDS": "0.05",
    }
    server = Server(supervisor, prepared, environment)
    async with server.running():
        owner = DatabaseSettings(prepared.url("refpay_owner"), "refpay_owner", roles["refpay_owner"])
        await upgrade_schema(owner)
    return server


async def refused(open_it: Callable[[Settings], Any], settings: Settings) -> str:
    """Return why a process does not start."""
    with pytest.raises(StartRefused) as refusal:
        async with open_it(settings):
            pass
    return refusal.value.detail


async def until(condition: Callable[[], Awaitable[object]]) -> None:
    """Wait for a loop of the worker, which has no event of ours."""
    async with asyncio.timeout(60):
        while not await condition():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.02)


async def says(client: "Client", line: str) -> bool:
    """Return whether a line of the exposition begins like this."""
    text = (await client.get("/metrics", by=None)).raw.decode()
    return any(found.startswith(line) for found in text.splitlines())


async def shown(client: "Client", *names: str) -> dict[str, float]:
    """Return the gauges once the worker has looked."""
    await until(lambda: client.metric(LOOKED, check="durable_settings"))
    return {name: await client.metric(UNSAFE, setting=name) for name in names}


@pytest.mark.parametrize("setting", SETTINGS)
async def test_an_unsafe_server_is_refused_and_with_leave_paged_for(
    durability_server: Server, serve: Callable[[Any], Any], setting: str
) -> None:
    """API and worker say setting, value, what is needed and the override; with it they start, and show it."""
    server = durability_server
    async with server.running(f"{setting}=off"):
        for open_it in (open_app, open_worker):
            said = await refused(open_it, server.settings())
            assert said.startswith(f"{setting} is off, needed: on")
            assert "REFPAY_ALLOW_UNSAFE_DURABILITY=1" in said
            assert not any(f"{other} is" in said for other in SETTINGS if other != setting)
        allowed = server.settings(REFPAY_ALLOW_UNSAFE_DURABILITY="1")
        async with open_app(allowed) as app, serve(app) as client:
            assert (await client.get("/readyz", by=None)).status == 200
        async with open_worker(allowed) as app, serve(app) as client:
            assert await shown(client, *SETTINGS) == {name: float(name == setting) for name in SETTINGS}
            assert await client.metric("moneypath_check_violations", check="durable_settings") == 1


@pytest.mark.parametrize(
    ("change", "back"),
    [
        ("ALTER ROLE refpay_app SET synchronous_commit = off", "ALTER ROLE refpay_app RESET ALL"),
        ("ALTER DATABASE refpay SET synchronous_commit = off", "ALTER DATABASE refpay RESET ALL"),
        (
            "ALTER ROLE refpay_app IN DATABASE refpay SET synchronous_commit = off",
            "ALTER ROLE refpay_app IN DATABASE refpay RESET ALL",
        ),
    ],
)
async def test_what_a_role_or_a_database_says_counts(
    durability_server: Server, serve: Callable[[Any], Any], change: str, back: str
) -> None:
    """The server's own setting is on; the session's is off. And a worker that runs sees the change come."""
    server = durability_server
    async with server.running():
        async with open_worker(server.settings()) as app, serve(app) as client:
            assert await shown(client, *SETTINGS) == dict.fromkeys(SETTINGS, 0.0)
            await server.administer(change)
            try:
                said = await refused(open_app, server.settings())
                await until(lambda: client.metric(UNSAFE, setting="synchronous_commit"))
            finally:
                await server.administer(back)
        assert said.startswith(
            "synchronous_commit is off, needed: on or local or remote_write or remote_apply"
        )
        async with open_app(server.settings()):
            pass


@pytest.mark.parametrize("value", ["local", "remote_write", "remote_apply"])
async def test_what_waits_for_our_own_disk_is_safe(durability_server: Server, value: str) -> None:
    """The values differ in what they ask of standbys."""
    async with (
        durability_server.running(f"synchronous_commit={value}"),
        open_app(durability_server.settings()),
    ):
        pass


async def test_another_word_for_on_is_safe(durability_server: Server) -> None:
    """A role's value is kept as it was written down; and another role's is nobody's business."""
    server = durability_server
    async with server.running():
        await server.administer(
            "ALTER ROLE refpay_app SET synchronous_commit = 'YES'",
            "ALTER ROLE refpay_oracle SET synchronous_commit = off",
        )
        try:
            async with open_app(server.settings()):
                pass
        finally:
            await server.administer("ALTER ROLE refpay_app RESET ALL", "ALTER ROLE refpay_oracle RESET ALL")


async def test_the_process_says_it_in_one_sentence(durability_server: Server) -> None:
    """Exit code 2, one line on stderr, all that is wrong in it."""
    server = durability_server
    async with server.running("fsync=off", "full_page_writes=off"):
        running = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "refpay.app",
            env={**server.environment, "PATH": os.defpath, "PYTHONPATH": os.environ.get("PYTHONPATH", "")},
            stderr=asyncio.subprocess.PIPE,
        )
        _, said = await running.communicate()
    assert running.returncode == 2
    (line,) = said.decode().splitlines()
    assert "fsync is off, needed: on; full_page_writes is off, needed: on: a power cut" in line


async def make_broker(
    server: Server, ports: "PortPool", folder: Path, name: str, sync_interval: str
) -> tuple[ServerSpec, dict[str, str]]:
    """Prepare a NATS with a `sync_interval`; return it and where it will be."""
    prepared = await nats.prepare(
        folder,
        ports.reserve(name),
        ports.reserve(f"{name}-monitoring"),
        user="refpay",
        password=(Path(server.environment["REFPAY_SECRETS_FOLDER"]) / "nats_password").read_text().strip(),
        name=name,
    )
    file = folder / nats.CONFIG_FILE
    file.write_text(file.read_text().replace("sync_interval: always", sync_interval))
    urls = {"REFPAY_NATS_URL": prepared.url, "REFPAY_NATS_MONITORING_URL": prepared.monitoring_url}
    return prepared.spec, urls


@asynccontextmanager
async def started(server: Server, spec: ServerSpec) -> AsyncIterator[None]:
    """Run a NATS."""
    await server.supervisor.start(spec)
    try:
        yield
    finally:
        await server.supervisor.stop(spec.name)


@pytest.mark.parametrize(
    ("name", "configured"), [("late", 'sync_interval: "2m"'), ("default", "# no word of it")]
)
async def test_a_broker_that_syncs_later_is_refused(
    durability_server: Server,
    ports: "PortPool",
    tmp_path: Path,
    serve: Callable[[Any], Any],
    name: str,
    configured: str,
) -> None:
    """The worker does not start; with leave it does, and shows it. The API does not speak to NATS."""
    server = durability_server
    spec, urls = await make_broker(server, ports, tmp_path / "nats", f"nats-{name}", configured)
    allowed = server.settings(**urls, REFPAY_ALLOW_UNSAFE_DURABILITY="1")
    async with server.running(), started(server, spec):
        said = await refused(open_worker, server.settings(**urls))
        assert said.startswith("sync_interval is 120s, needed: always")
        async with open_worker(allowed) as app, serve(app) as client:
            expected = {"sync_interval": 1.0, **dict.fromkeys(SETTINGS, 0.0)}
            assert await shown(client, *expected) == expected
            await until(lambda: says(client, LINKED))


async def test_a_broker_that_always_syncs_is_used(
    durability_server: Server, ports: "PortPool", tmp_path: Path, serve: Callable[[Any], Any]
) -> None:
    """The gauge says 0, and the link is made."""
    server = durability_server
    always = "sync_interval: always"
    spec, urls = await make_broker(server, ports, tmp_path / "nats", "nats-always", always)
    async with (
        server.running(),
        started(server, spec),
        open_worker(server.settings(**urls)) as app,
        serve(app) as client,
    ):
        await until(lambda: says(client, f'{UNSAFE}{{setting="sync_interval"}} 0'))
        await until(lambda: says(client, LINKED))


async def test_nothing_is_published_before_the_setting_is_known(
    durability_server: Server, ports: "PortPool", tmp_path: Path, serve: Callable[[Any], Any]
) -> None:
    """NATS is away at the start, and then comes back unsafe: the worker runs, says why, and keeps away."""
    server = durability_server
    spec, urls = await make_broker(server, ports, tmp_path / "nats", "nats-returns", "# no word of it")
    async with server.running(), open_worker(server.settings(**urls)) as app, serve(app) as client:
        await shown(client)
        assert not await says(client, f'{UNSAFE}{{setting="sync_interval"}}')
        with structlog.testing.capture_logs() as logs:
            async with started(server, spec):
                await until(lambda: says(client, f'{UNSAFE}{{setting="sync_interval"}} 1'))

                async def kept_away() -> bool:
                    return any("sync_interval of JetStream is 120s" in str(log) for log in logs)

                await until(kept_away)
                assert not await says(client, LINKED)
