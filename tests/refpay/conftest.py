"""A real PostgreSQL with a database for each test, real acquirers, and clients of the API."""

import asyncio
import hashlib
import itertools
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import aiohttp
import asyncpg
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jsonschema import Draft202012Validator
from nats.aio.client import Client as NatsClient
from starlette.types import ASGIApp
from yarl import URL

from moneypath.stack import nats, postgres
from moneypath.stack.ports import PortPool
from moneypath.stack.secrets import mint
from moneypath.stack.server import ServerSpec, http_ready
from moneypath.stack.supervisor import Supervisor
from refpay.app.main import ENDPOINTS, open_app
from refpay.app.openapi import describe
from refpay.db.upgrade import upgrade_schema
from refpay.identity.scopes import Scope
from refpay.identity.token_keys import TokenKeys, encode
from refpay.identity.tokens import issue
from refpay.ledger.causes import find_unexplained
from refpay.outbox.streams import Session, open_session
from refpay.runtime import listen, make_server
from refpay.settings import DatabaseSettings, Settings, read_settings
from refpay.worker.main import open_worker

TOKENS = {
    "shop": (
        "payments:authorize",
        "payments:capture",
        "payments:void",
        "payments:refund",
        "payments:read",
        "payouts:create",
    ),
    "rival": ("payments:authorize", "payments:capture", "payments:refund", "payments:read"),
    "authorizer": ("payments:authorize",),
    "capturer": ("payments:capture",),
    "refunder": ("payments:refund",),
    "reader": ("payments:read",),
    "observer": ("operations:read",),
    "operator": (
        "operations:read",
        "operations:route",
        "operations:risk",
        "operations:replay",
        "operations:repair",
    ),
    "replayer": ("operations:replay",),
    "approver": ("approvals:decide",),
    "checker": ("approvals:decide",),
    "canary": ("payments:authorize", "traffic:canary"),
    "auditor": ("audit:read", "ledger:read"),
    "everybody": tuple(Scope),
    "nobody": (),
}
# So that the processes run the code beside these tests, whatever is installed.
SOURCES = Path(__file__).parents[2] / "src"
ROLES = ("refpay_owner", "refpay_app", "refpay_oracle")
# Databases into which a test wrote what the service never writes, and those that take any entry.
_TAMPERED: Final[set[str]] = set()
_UNCAUSED: Final[set[str]] = set()
_SERIAL = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests of refpay on the session's loop, which watches their servers."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and item.get_closest_marker("asyncio") is not None:
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def supervisor(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Supervisor]:
    """Own the real servers for the session."""
    async with Supervisor(tmp_path_factory.mktemp("refpay-servers")) as owner:
        yield owner


@pytest.fixture(scope="session")
def ports() -> Iterator[PortPool]:
    """Reserve ports for the session."""
    with PortPool({}) as ports:
        yield ports


@pytest.fixture(scope="session")
def secrets_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Mint every secret of the session in one folder."""
    folder = tmp_path_factory.mktemp("refpay-secrets")
    names = [f"{role}_password" for role in ROLES]
    names += ["superuser_password", "north_api_key", "south_api_key", "nats_password"]
    mint(folder, [*names, "north_control_token", "south_control_token"])
    clients = [
        {
            "name": name,
            "secret_sha256": hashlib.sha256(secret_of(name).encode()).hexdigest(),
            "scopes": scopes,
        }
        for name, scopes in TOKENS.items()
    ]
    (folder / "clients.json").write_text(json.dumps({"clients": clients}))
    (folder / "token_keys.json").write_text(_KEYS_TEXT)
    for name in ("north", "south"):
        keys = {"keys": {f"{name}-1": hashlib.sha256(name.encode()).hexdigest()}}
        (folder / f"webhook_{name}.json").write_text(json.dumps(keys))
    return folder


def secret_of(name: str) -> str:
    """Return a client's secret."""
    return f"secret-of-{name}"


# Tokens are signed here, as the API does, so that no test spends its time on asking for them.
_SEED: Final = hashlib.sha256(b"of tests alone").digest()
_KEYS_TEXT: Final = json.dumps({"signing": "test-1", "keys": {"test-1": {"private": encode(_SEED)}}})
_KEYS: Final = TokenKeys("test-1", Ed25519PrivateKey.from_private_bytes(_SEED), {})
_RENEWED_AFTER: Final = timedelta(seconds=120)
_ISSUED: Final[dict[tuple[str, frozenset[str]], tuple[datetime, str]]] = {}


def token_of(name: str, scopes: Iterable[str] | None = None) -> str:
    """Return a bearer token with some or all scopes of a principal, good for some minutes at least."""
    now, granted = datetime.now(UTC), frozenset(TOKENS[name] if scopes is None else scopes)
    issued_at, token = _ISSUED.get((name, granted), (None, ""))
    if issued_at is None or now - issued_at > _RENEWED_AFTER:
        token = issue(name, frozenset(map(Scope, granted)), _KEYS, now)
        _ISSUED[name, granted] = now, token
    return token


def read_file(folder: Path, name: str) -> str:
    """Return a secret."""
    return (folder / name).read_text().strip()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def server(
    supervisor: Supervisor, ports: PortPool, secrets_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> postgres.Postgres:
    """Run PostgreSQL with a migrated database that every test copies."""
    prepared = await postgres.prepare(
        tmp_path_factory.mktemp("refpay-postgres"),
        ports.reserve("postgres"),
        superuser_password=read_file(secrets_folder, "superuser_password"),
        roles={role: read_file(secrets_folder, f"{role}_password") for role in ROLES},
        owner="refpay_owner",
        database="refpay",
    )
    # Ten times faster, and as good a proof: fsync is for power cuts, and these tests kill only processes.
    spec = replace(prepared.spec, command=(*prepared.spec.command, "-c", "fsync=off"))
    await supervisor.start(spec)
    await upgrade_schema(owner_settings(prepared, secrets_folder))
    return replace(prepared, spec=spec)


def owner_settings(server: postgres.Postgres, secrets_folder: Path) -> DatabaseSettings:
    """Return how the owner reaches the template database."""
    password = read_file(secrets_folder, "refpay_owner_password")
    return DatabaseSettings(server.url("refpay_owner"), "refpay_owner", password)


@dataclass(frozen=True, slots=True)
class RefpayDb:
    """One test's own database."""

    server: postgres.Postgres
    name: str

    def url(self, role: str) -> str:
        """Return a role's address without a password."""
        return self.server.url(role, self.name)

    async def connect(self, role: str = "refpay_app") -> "asyncpg.Connection[asyncpg.Record]":
        """Return a plain connection; `postgres` is the superuser."""
        return await asyncpg.connect(self.server.dsn(role, self.name), timeout=30)

    async def rows(self, query: str, *arguments: object, role: str = "refpay_app") -> list[dict[str, Any]]:
        """Run one query."""
        connection = await self.connect(role)
        try:
            return [dict(row) for row in await connection.fetch(query, *arguments)]
        finally:
            await connection.close()

    async def unexplained(self) -> list[UUID]:
        """Return the entries that neither an operation nor a report stands behind."""
        connection = await self.connect()
        try:
            return list(await find_unexplained(connection, most=10))
        finally:
            await connection.close()

    async def allow_uncaused(self, *, allowed: bool = True) -> None:
        """Let the ledger take entries that no operation and no report stands behind, or not any more."""
        _TAMPERED.add(self.name)
        (_UNCAUSED.add if allowed else _UNCAUSED.discard)(self.name)
        state = "DISABLE" if allowed else "ENABLE ALWAYS"
        await self.rows(f"ALTER TABLE ledger.entry {state} TRIGGER entry_caused", role="refpay_owner")

    async def tamper(self, *statements: str) -> None:
        """Change what nobody may change: as superuser, with every trigger off and every constraint gone."""
        _TAMPERED.add(self.name)
        connection = await self.connect("postgres")
        try:
            tables = ("ledger.entry", "ledger.posted", "ledger.seal", "payments.operation")
            for table in tables:
                await connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL")
            await connection.execute("ALTER TABLE ledger.entry DROP CONSTRAINT IF EXISTS entry_holds")
            for statement in statements:
                await connection.execute(statement)
            for table in tables:
                await connection.execute(f"ALTER TABLE {table} ENABLE TRIGGER ALL")
            if self.name in _UNCAUSED:
                await connection.execute("ALTER TABLE ledger.entry DISABLE TRIGGER entry_caused")
        finally:
            await connection.close()


@pytest_asyncio.fixture(loop_scope="session")
async def db(server: postgres.Postgres) -> AsyncIterator[RefpayDb]:
    """Give a test an empty, migrated database of its own, in which every entry has to have its cause."""
    async with _open_db(server) as opened:
        yield opened
        if opened.name not in _TAMPERED:
            assert await opened.unexplained() == []


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_db(server: postgres.Postgres) -> AsyncIterator[RefpayDb]:
    """Give tests that need no empty database one for all of them."""
    async with _open_db(server) as opened:
        yield opened


@pytest.fixture(scope="session")
def open_db(server: postgres.Postgres) -> Callable[[], Any]:
    """Return what opens an empty, migrated database: an async context manager."""
    return lambda: _open_db(server)


@asynccontextmanager
async def _open_db(server: postgres.Postgres) -> AsyncIterator[RefpayDb]:
    name = f"refpay_test_{next(_SERIAL)}"
    # Files are copied as they are: the other way writes every page twice, to the log as well.
    made = f"CREATE DATABASE {name} TEMPLATE refpay STRATEGY FILE_COPY OWNER refpay_owner"
    await _administer(server, made)
    yield RefpayDb(server, name)
    await _administer(server, f"DROP DATABASE {name} WITH (FORCE)")


async def _administer(server: postgres.Postgres, statement: str) -> None:
    # A connection for each statement: a test may have killed the server in between.
    admin = await asyncpg.connect(server.admin_dsn, timeout=30)
    try:
        await admin.execute(statement)
    finally:
        await admin.close()


@dataclass(frozen=True, slots=True)
class Acquirer:
    """A running acquirer."""

    name: str
    url: str
    control_token: str

    async def inject(self, **fault: object) -> None:
        """Lease a fault."""
        body = {"rate": 1.0, "lease_seconds": 60, "seed": 1, "latency_seconds": 0, **fault}
        async with self._session() as session, session.post("/control/faults", json=body) as answer:
            assert answer.status == 201, await answer.text()

    async def heal(self) -> None:
        """Clear every fault."""
        async with self._session() as session, session.delete("/control/faults") as answer:
            assert answer.status < 300

    async def truth(self) -> list[dict[str, Any]]:
        """Return everything that the acquirer really did."""
        async with self._session() as session:
            rows: list[dict[str, Any]] = []
            after: int | None = 0
            while after is not None:
                async with session.get(f"/truth/operations?after={after}&limit=5000") as answer:
                    page = await answer.json()
                rows += page["rows"]
                after = page["next"] if page["rows"] else None
            return rows

    def _session(self) -> aiohttp.ClientSession:
        headers = {"Authorization": f"Bearer {self.control_token}"}
        return aiohttp.ClientSession(self.url, headers=headers)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def running_acquirers(
    supervisor: Supervisor, ports: PortPool, secrets_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, Acquirer]:
    """Run both acquirers; their issuers decline nobody."""
    return await _start_acquirers(supervisor, ports, secrets_folder, tmp_path_factory.mktemp("acquirers"))


async def _start_acquirers(
    supervisor: Supervisor, ports: PortPool, secrets_folder: Path, books: Path, *flags: str
) -> Mapping[str, Acquirer]:
    """Start both acquirers, called after the folder of their books; `flags` go to each."""
    found = {}
    for name in ("north", "south"):
        server = f"{name}-{books.name}"
        port = ports.reserve(server)
        url = f"http://127.0.0.1:{port}"
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
            str(books / f"{name}.db"),
            "--secrets-folder",
            str(secrets_folder),
            "--decline-rate",
            "0",
            "--latency-ms",
            "0",
            *flags,
        )
        ready = http_ready(f"{url}/readyz")
        await supervisor.start(ServerSpec(name=server, command=command, ready=ready, cwd=SOURCES))
        found[name] = Acquirer(name, url, read_file(secrets_folder, f"{name}_control_token"))
    return found


@pytest.fixture(scope="session")
def make_acquirer(secrets_folder: Path) -> Callable[[str, str], Acquirer]:
    """Return what speaks to a running acquirer, by its name and address."""
    return lambda name, url: Acquirer(name, url, read_file(secrets_folder, f"{name}_control_token"))


@pytest_asyncio.fixture(loop_scope="session")
async def reporting_acquirers(
    supervisor: Supervisor, ports: PortPool, secrets_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Mapping[str, Acquirer]]:
    """Give a test acquirers with empty books of its own, which close a report each second."""
    books = tmp_path_factory.mktemp("reporting")
    period = ("--settlement-period-seconds", "1")
    yield await _start_acquirers(supervisor, ports, secrets_folder, books, *period)
    for name in ("north", "south"):
        await supervisor.stop(f"{name}-{books.name}")


@pytest_asyncio.fixture(loop_scope="session")
async def acquirers(running_acquirers: Mapping[str, Acquirer]) -> AsyncIterator[Mapping[str, Acquirer]]:
    """Give a test both acquirers, healthy, and heal them afterwards."""
    yield running_acquirers
    for acquirer in running_acquirers.values():
        await acquirer.heal()


@dataclass(frozen=True, slots=True)
class Broker:
    """A NATS server of one test's own."""

    supervisor: Supervisor
    server: nats.Nats

    @property
    def name(self) -> str:
        """Return what the supervisor calls it."""
        return self.server.spec.name

    @asynccontextmanager
    async def session(self, ack_wait_seconds: float = 1) -> AsyncIterator[Session]:
        """Yield a session of the test's own, beside the worker's, which has to wait as long for an answer."""
        client = NatsClient()
        try:
            await client.connect(
                self.server.url,
                user="refpay",
                password=self.server.password,
                allow_reconnect=False,
                error_cb=_ignore,
            )
            yield await open_session(client, ack_wait_seconds=ack_wait_seconds, in_flight=256)
        finally:
            await client.close()

    async def kill(self) -> None:
        """Kill the server as a crash would."""
        await self.supervisor.kill(self.name)

    async def restart(self) -> None:
        """Start it again over what it stored."""
        await self.supervisor.restart(self.name)


async def _ignore(problem: Exception) -> None:
    """Leave it to the test."""


@pytest_asyncio.fixture(loop_scope="session")
async def broker(
    supervisor: Supervisor, ports: PortPool, secrets_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Broker]:
    """Run a NATS server for one test."""
    name = f"nats-{next(_SERIAL)}"
    server = await nats.prepare(
        tmp_path_factory.mktemp("refpay-nats"),
        ports.reserve(name),
        ports.reserve(f"{name}-monitoring"),
        user="refpay",
        password=read_file(secrets_folder, "nats_password"),
        name=name,
    )
    await supervisor.start(server.spec)
    yield Broker(supervisor, server)
    await supervisor.stop(name)


# On one loop with much else, or on a machine that starves it, an answer of a provider may wait. For tests in
# which every provider answers: none of their payments may fail for the time.
PATIENCE = {"REFPAY_PROVIDER_TIMEOUT_SECONDS": "30", "REFPAY_OUTCOME_DEADLINE_SECONDS": "90"}


def environment_of(db: RefpayDb, secrets_folder: Path, **changed: str) -> dict[str, str]:
    """Return the environment of a refpay process on a test's database; quick, so that tests are."""
    acknowledgements = secrets_folder.parent / f"acknowledgements-{db.name}"
    acknowledgements.mkdir(exist_ok=True)
    return {
        "REFPAY_LISTEN_PORT": "0",
        "REFPAY_WORKER_PORT": "0",
        "REFPAY_DATABASE_URL": db.url("refpay_app"),
        "REFPAY_SECRETS_FOLDER": str(secrets_folder),
        "REFPAY_ACKNOWLEDGEMENTS_FOLDER": str(acknowledgements),
        "REFPAY_NORTH_URL": "http://127.0.0.1:1",
        "REFPAY_SOUTH_URL": "http://127.0.0.1:1",
        "REFPAY_NATS_URL": "nats://127.0.0.1:1",
        # Far more than an answer takes on a shared machine in a bad moment, and quick where none comes.
        "REFPAY_PROVIDER_TIMEOUT_SECONDS": "1",
        "REFPAY_PROVIDER_ATTEMPTS": "2",
        "REFPAY_RECOVERY_INTERVAL_SECONDS": "0.05",
        "REFPAY_CHECK_INTERVAL_SECONDS": "0.05",
        "REFPAY_OUTCOME_DEADLINE_SECONDS": "3.55",
        # The session's server runs with fsync off.
        "REFPAY_ALLOW_UNSAFE_DURABILITY": "1",
        **changed,
    }


@pytest.fixture
def environment(
    db: RefpayDb,
    secrets_folder: Path,
    acquirers: Mapping[str, Acquirer],
    make_environment: Callable[..., dict[str, str]],
) -> dict[str, str]:
    """Return the environment of a refpay process on a test's database and the real acquirers."""
    urls = {f"REFPAY_{name.upper()}_URL": acquirer.url for name, acquirer in acquirers.items()}
    return {**make_environment(db, secrets_folder, **urls), "PATH": os.defpath}


@pytest.fixture
def messaging_environment(db: RefpayDb, secrets_folder: Path, broker: Broker) -> dict[str, str]:
    """Return the environment of a worker with a NATS of its own; patient for moments, not for minutes."""
    return environment_of(
        db,
        secrets_folder,
        REFPAY_NATS_URL=broker.server.url,
        REFPAY_NATS_MONITORING_URL=broker.server.monitoring_url,
        REFPAY_ACK_WAIT_SECONDS="1",
        REFPAY_DELIVERY_ATTEMPTS="3",
        REFPAY_REDELIVERY_SECONDS="0.02",
        REFPAY_RELAY_INTERVAL_SECONDS="0.02",
    )


@pytest.fixture
def messaging_settings(messaging_environment: dict[str, str]) -> Settings:
    """Return the settings of such a worker; the acquirers' ports are closed."""
    return read_settings(messaging_environment)


@pytest.fixture
def settings(db: RefpayDb, secrets_folder: Path) -> Settings:
    """Return settings on a test's database; the acquirers' ports are closed."""
    return read_settings(environment_of(db, secrets_folder))


def _live_environment(
    db: RefpayDb, secrets_folder: Path, acquirers: Mapping[str, Acquirer]
) -> dict[str, str]:
    urls = {f"REFPAY_{name.upper()}_URL": acquirer.url for name, acquirer in acquirers.items()}
    return environment_of(db, secrets_folder, **urls)


@pytest.fixture
def live_settings(db: RefpayDb, secrets_folder: Path, acquirers: Mapping[str, Acquirer]) -> Settings:
    """Return settings on a test's database and the real acquirers."""
    return read_settings(_live_environment(db, secrets_folder, acquirers))


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API said."""

    status: int
    headers: Mapping[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        """Return the parsed JSON."""
        return json.loads(self.raw)

    @property
    def replayed(self) -> bool:
        """Return whether the answer says that it is a replay."""
        return self.headers.get("Idempotency-Replayed") == "true"


DESCRIPTION: Final = json.loads(json.dumps(describe(ENDPOINTS)))
_OPERATIONS: Final[list[tuple[re.Pattern[str], str, dict[str, Any]]]] = [
    (re.compile(re.sub(r"{\w+}", "[^/]+", path)), method.upper(), operation)
    for path, methods in DESCRIPTION["paths"].items()
    for method, operation in methods.items()
]


@cache
def _validator(text: str) -> Draft202012Validator:
    whole = {**json.loads(text), "components": DESCRIPTION["components"]}
    return Draft202012Validator(whole, format_checker=Draft202012Validator.FORMAT_CHECKER)


def expect_described(method: str, path: str, answer: "Answer") -> dict[str, Any] | None:
    """Fail on an answer that its endpoint's description does not foresee; return the description."""
    bare = path.partition("?")[0]
    for pattern, verb, operation in _OPERATIONS:
        if verb == method and bare.startswith("/v1/") and pattern.fullmatch(bare):
            responses = operation["responses"]
            assert str(answer.status) in responses, (method, path, answer)
            content = responses[str(answer.status)].get("content", {})
            kind = answer.headers.get("Content-Type", "")
            assert (kind in content) if content else not answer.raw, (method, path, answer)
            if content:
                _validator(json.dumps(content[kind]["schema"])).validate(answer.body)
            return operation
    return None


@dataclass(frozen=True, slots=True)
class Client:
    """Speaks HTTP to a running API."""

    session: aiohttp.ClientSession
    url: str
    # Which audit records each request may leave, by its correlation id.
    audited: dict[str, list[str]] = field(default_factory=dict)

    async def send(
        self, method: str, path: str | URL, body: object = None, *, by: str | None = "shop", **headers: str
    ) -> Answer:
        """Send JSON (or bytes as they are); headers as keywords with underscores."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if by is not None:
            given.setdefault("Authorization", f"Bearer {token_of(by)}")
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        if data is not None:
            given.setdefault("Content-Type", "application/json")
        async with self.session.request(method, path, data=data, headers=given) as answer:
            received = Answer(answer.status, answer.headers.copy(), await answer.read())
        operation = expect_described(method, URL(path).path, received)
        if operation is not None and method != "GET":
            self.audited[received.headers["X-Correlation-Id"]] = operation["x-contract"]["audit"]
        return received

    async def post(self, path: str, body: object = None, *, key: str | None = None, **rest: Any) -> Answer:
        """Send a state change, under a new key unless one is given."""
        return await self.send("POST", path, body, Idempotency_Key=key or fresh("key"), **rest)

    async def get(self, path: str, *, by: str | None = "shop") -> Answer:
        """Read."""
        return await self.send("GET", path, by=by)

    async def authorize(self, *, key: str | None = None, by: str = "shop", **changed: object) -> Answer:
        """Authorize an order of 10.00 EUR, or whatever is changed of it."""
        return await self.post("/v1/payments", order(**changed), key=key, by=by)

    async def captured(self, **changed: Any) -> Any:
        """Authorize and capture; return the payment."""
        authorized = await self.authorize(**changed)
        assert authorized.status == 201, authorized.raw
        captured = await self.post(f"/v1/payments/{authorized.body['id']}/capture", {})
        assert captured.status == 200, captured.raw
        return captured.body

    async def expect_audited(self, db: RefpayDb) -> set[str]:
        """Fail on an audit record that the request's endpoint does not declare; return what there is."""
        # What a provider brings about carries the id of the request whose operation it is.
        rows = await db.rows(
            "SELECT action, correlation_id FROM audit.event WHERE actor NOT LIKE 'provider:%'"
        )
        for row in rows:
            declared = self.audited.get(row["correlation_id"])
            assert declared is None or row["action"] in declared, row
        return {row["action"] for row in rows if row["correlation_id"] in self.audited}

    async def metric(self, name: str, **labels: str) -> float:
        """Return a series of the exposition; 0 if it is not there."""
        text = (await self.get("/metrics", by=None)).raw.decode()
        for line in text.splitlines():
            if line.startswith(name + ("{" if labels else " ")) and all(
                f'{label}="{value}"' in line for label, value in labels.items()
            ):
                return float(line.rsplit(" ", 1)[1])
        return 0.0


def fresh(prefix: str) -> str:
    """Return a text that no other test uses."""
    return f"{prefix}-{next(_SERIAL)}"


def order(**changed: object) -> dict[str, object]:
    """Return the body of an authorization."""
    return {
        "merchant_reference": fresh("order"),
        "amount_minor": 1000,
        "currency": "EUR",
        "card_token": "tok_411111_00ff",
        **changed,
    }


@asynccontextmanager
async def serve_app(app: ASGIApp) -> AsyncIterator[Client]:
    """Serve an app on a port of its own and yield a client of it."""
    listener = listen(0)
    http = make_server(app)
    task = asyncio.create_task(http.serve(sockets=[listener]))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        async with _open_client(url) as client:
            yield client
    finally:
        http.stop()
        await task
        listener.close()


@asynccontextmanager
async def _run_api(settings: Settings) -> AsyncIterator[Client]:
    async with open_app(settings) as app, serve_app(app) as client:
        yield client


@pytest.fixture
def run_api() -> Callable[[Settings], Any]:
    """Return what runs the whole API on settings: an async context manager of a client."""
    return _run_api


@pytest_asyncio.fixture(loop_scope="session")
async def api(live_settings: Settings, db: RefpayDb) -> AsyncIterator[Client]:
    """Run the whole API against a database of its own and the real acquirers."""
    async with _run_api(live_settings) as client:
        yield client
        await client.expect_audited(db)


@pytest_asyncio.fixture(loop_scope="session")
async def patient_api(
    db: RefpayDb, secrets_folder: Path, acquirers: Mapping[str, Acquirer]
) -> AsyncIterator[Client]:
    """Run the same for many requests at once."""
    environment = _live_environment(db, secrets_folder, acquirers)
    async with _run_api(read_settings({**environment, **PATIENCE})) as client:
        yield client
        await client.expect_audited(db)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_api(
    shared_db: RefpayDb, secrets_folder: Path, running_acquirers: Mapping[str, Acquirer]
) -> AsyncIterator[Client]:
    """Run one API for tests that need no empty database; its acquirers stay healthy."""
    environment = _live_environment(shared_db, secrets_folder, running_acquirers)
    async with _run_api(read_settings(environment)) as client:
        yield client


@pytest.fixture(scope="session")
def make_environment() -> Callable[..., dict[str, str]]:
    """Return what makes the environment of a refpay process."""
    return environment_of


@pytest.fixture
def patience() -> Mapping[str, str]:
    """Return the settings that let an answer of a provider wait."""
    return PATIENCE


@pytest.fixture
def make_client() -> Callable[[str], Any]:
    """Return what opens a client of an address: an async context manager."""
    return _open_client


@asynccontextmanager
async def _open_client(url: str) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession(url, connector=aiohttp.TCPConnector(limit=0)) as session:
        yield Client(session, url)


@pytest.fixture
def make_token() -> Callable[[str, Iterable[str]], str]:
    """Return what makes a token of somebody with some of his scopes; `everybody` has all there are."""
    return token_of


@pytest.fixture
def run_worker_until(live_settings: Settings) -> Callable[[RefpayDb], Any]:
    """Return what runs a real worker until a test's database has nothing unresolved."""

    async def run(db: RefpayDb) -> None:
        async with open_worker(live_settings), asyncio.timeout(60):
            query = "SELECT 1 FROM oracle.unresolved_operations"
            while await db.rows(query, role="refpay_oracle"):  # noqa: ASYNC110 - the database has no event
                await asyncio.sleep(0.02)

    return run


@pytest.fixture(name="expect_described")
def _expect_described() -> Callable[..., object]:
    """Return what holds an answer against the description."""
    return expect_described


@pytest.fixture
def serve() -> Callable[[ASGIApp], Any]:
    """Return what serves an app on a port of its own: an async context manager of a client."""
    return serve_app
