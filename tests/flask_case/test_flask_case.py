"""A Flask service with prometheus_client alone: objectives over its series, SQL checks, a fault."""

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import pytest_asyncio

from moneypath.alerting.timing import Scale
from moneypath.path.model import MoneyPath
from moneypath.polling import poll_until
from moneypath.prometheus import Prometheus
from moneypath.stack import postgres, secrets
from moneypath.stack.pager import spec as pager
from moneypath.stack.ports import PortPool
from moneypath.stack.server import ServerSpec, http_ready
from moneypath.stack.supervisor import Supervisor
from moneypath.target.conformance.check import check_target
from moneypath.target.conformance.finding import Contract, ContractState
from moneypath.target.exchange import Exchange
from moneypath.target.loader import Target, load_target
from moneypath.workflows import board, generate
from moneypath.workflows.declaration import load_declaration
from moneypath.workflows.monitoring import MonitoringBuilder, find_programs

pytestmark = [pytest.mark.live, pytest.mark.asyncio(loop_scope="module")]

TILL = Path(__file__).with_name("till")
SCALE = 60
PATIENCE_SECONDS = 60.0
BURN = 'ALERTS{alertname="TillSalesBurn",alertstate="firing"}'
ONE_SIDED = 'ALERTS{alertname="TillSalesHaveTwoSidesViolated",alertstate="firing"}'


@dataclass(frozen=True, slots=True)
class Counter:
    """A running till with its monitoring."""

    target: Target
    path: MoneyPath
    project: Path
    folder: Path
    addresses: dict[str, str]

    @property
    def prometheus(self) -> Prometheus:
        """Return its Prometheus."""
        return Prometheus(self.addresses["prometheus"])

    async def until(self, promql: str) -> None:
        """Wait until a query has a value above zero."""

        async def value() -> float:
            return await self.prometheus.value(promql) or 0.0

        found = await poll_until(value, bool, every_seconds=0.2, within_seconds=PATIENCE_SECONDS)
        assert found, f"{promql} is nothing after {PATIENCE_SECONDS:g} s"

    async def paged(self, alert: str) -> set[str]:
        """Return the roles that a page of an alert has reached, once there is one."""

        async def roles() -> set[str]:
            async with httpx.AsyncClient(trust_env=False) as client:
                answer = await client.get(f"{self.addresses['pager']}/pages?after=0&wait_seconds=0")
            return {
                page["role"]
                for page in answer.json()["pages"]
                if any(one["name"] == alert for one in page["alerts"])
            }

        return await poll_until(roles, bool, every_seconds=0.2, within_seconds=PATIENCE_SECONDS)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def counter(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Counter]:
    """Start database, till, customers, checks and monitoring."""
    folder = tmp_path_factory.mktemp("till")
    project = folder / "project"
    shutil.copytree(TILL, project)
    generate.write(project)
    path, keys = load_declaration(project), folder / "secrets"
    passwords = secrets.mint(keys / "database", ["superuser", "till_owner", "till_reader"])
    token = secrets.mint(keys, ["pager_token", "role_shop-it_token"])["pager_token"]
    assert token
    async with AsyncExitStack() as stack:
        ports = stack.enter_context(PortPool({}))
        supervisor = await stack.enter_async_context(Supervisor(folder / "run"))

        async def start(name: str, *words: str, ready: str) -> str:
            port = ports.reserve(name)
            command = (sys.executable, *(word.format(port=port) for word in words))
            url = f"http://127.0.0.1:{port}"
            env = dict(pager.python_environment())
            await supervisor.start(
                ServerSpec(name=name, command=command, env=env, port=port, ready=http_ready(f"{url}{ready}"))
            )
            return url

        server = await postgres.prepare(
            folder / "postgres",
            ports.reserve("postgres"),
            superuser_password=passwords.pop("superuser"),
            roles=passwords,
            owner="till_owner",
            database="till",
        )
        await supervisor.start(server.spec)
        secrets.write_once(keys / "owner_dsn", server.dsn("till_owner"))
        secrets.write_once(project / "secrets" / "reader_dsn", server.dsn("till_reader"))
        till = await start(
            "till", str(project / "app.py"), str(keys / "owner_dsn"), "{port}", ready="/metrics"
        )
        with psycopg.connect(server.dsn("till_owner")) as connection:
            connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO till_reader")
        declaration = str(project / "moneypath.yaml")
        words = ("-m", "moneypath", "exporter", "--checks", declaration, "--port", "{port}")
        checks = await start("till-checks", *words, ready="/healthz")
        pager_port = ports.reserve("pager")
        await supervisor.start(pager.spec(folder / "pages", pager_port, secrets_folder=keys))
        pages = f"http://127.0.0.1:{pager_port}"
        jobs = {"till": till, "till-checks": checks}
        monitoring = await MonitoringBuilder(
            path, Scale(SCALE), folder / "run", ports, supervisor, environment="counter"
        ).begin(
            find_programs(lambda _: None),
            pager_url=pages,
            pager_token_file=keys / "pager_token",
            targets={job: url.removeprefix("http://") for job, url in jobs.items()},
            events_per_second=8,
        )
        addresses = {
            "till": till,
            "prometheus": monitoring.prometheus,
            "alertmanager": monitoring.alertmanager,
            "pager": pages,
            "run": str(folder),
            "python": sys.executable,
        }
        target = load_target(project / "targets" / "till.yaml", addresses)
        buying = await asyncio.create_subprocess_exec(
            sys.executable, str(project / "customers.py"), till, "10"
        )
        stack.push_async_callback(buying.wait)
        stack.callback(buying.terminate)
        yield Counter(target, path, project, folder, addresses)


async def test_its_target_holds(counter: Counter) -> None:
    """What it has no contract for is missing, and nothing fails: also the lock is taken and let go."""
    await counter.until('ALERTS{alertname="TillWatchdog",alertstate="firing"}')
    found = [each async for each in check_target(counter.target, "counter")]
    assert [one.sentence for one in found if one.state is ContractState.FAILS] == []
    missing = {one.contract for one in found if one.state is ContractState.MISSING}
    assert missing == {Contract.LOAD, Contract.ACTIONS, Contract.WITNESSES}


async def test_a_held_lock_pages_over_its_own_series(counter: Counter) -> None:
    """The command begins it; the objective over prometheus_client's counter burns; the page arrives."""
    await counter.until('sum(increase(till_sales_total{kind="customer",result="sold"}[10s])) > 20')
    assert not await counter.prometheus.query(BURN)
    exchange, fault = Exchange.of(counter.target), counter.target.document.faults["table"]
    given: dict[str, Any] = {"kind": "locked", "lease_seconds": 120, "seed": 1, "unique": "u"}
    begun = (await exchange.ask(fault.begin, given)).field("id")
    try:
        await counter.until(BURN)
        assert await counter.paged("TillSalesBurn") == {"shop-it"}
        proof = await poll_until(
            lambda: board.check_board(counter.project, counter.addresses["prometheus"]),
            lambda one: one.passed,
            every_seconds=1,
            within_seconds=PATIENCE_SECONDS,
        )
        assert proof.findings == ()
    finally:
        await exchange.ask(fault.end, {**given, "fault_id": str(begun)})
    await counter.until(f"absent({BURN})")


async def test_a_one_sided_sale_is_found_in_its_tables(counter: Counter) -> None:
    """Somebody deletes a side: the check of its own query finds the sale, and pages."""
    with psycopg.connect((counter.folder / "secrets" / "owner_dsn").read_text()) as connection:
        connection.execute("DELETE FROM side WHERE ctid = (SELECT ctid FROM side LIMIT 1)")
    await counter.until(ONE_SIDED)
    assert await counter.paged("TillSalesHaveTwoSidesViolated") == {"shop-it"}
