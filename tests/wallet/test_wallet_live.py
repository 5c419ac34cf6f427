"""The whole wallet with real servers: its target holds, a silent bank pages, and what is lost is found."""

import asyncio
import contextlib
import json
import math
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import pytest_asyncio
from wallet_stack.starter import STARTER

from moneypath.path.loader import FILE_NAME, load
from moneypath.polling import poll_until
from moneypath.prometheus import Prometheus
from moneypath.stack.starters import LiveStack, LiveStackSettings
from moneypath.target.conformance.check import check_target
from moneypath.target.conformance.finding import ContractState
from moneypath.target.loader import flatten, load_target
from moneypath.witnesses import Result, Window, load_witnesses, reconcile
from moneypath.workflows import board

pytestmark = [pytest.mark.live, pytest.mark.asyncio(loop_scope="module")]

WALLET = Path(__file__).parents[2] / "examples" / "wallet"
SCALE = 20
PATIENCE_SECONDS = 60.0
FIRING = 'ALERTS{{alertname="{0}",alertstate="firing"}}'
AGENTS_PER_SECOND = 10


@dataclass(frozen=True, slots=True)
class Bench:
    """A running wallet, and what tests ask of it."""

    live: LiveStack
    client: httpx.AsyncClient

    @property
    def run(self) -> Path:
        """Return the folder of the run."""
        return self.live.endpoints.run_folder

    @property
    def prometheus(self) -> Prometheus:
        """Return its Prometheus."""
        return Prometheus(self.live.endpoints.prometheus)

    def secret(self, name: str) -> str:
        """Return a secret of the run."""
        return (self.live.endpoints.secrets_folder / name).read_text().strip()

    async def ask(self, method: str, url: str, token: str, *, key: str = "", body: Any = None) -> Any:
        """Send a request as the holder of a token, and return its answer."""
        headers = {"Authorization": f"Bearer {self.secret(token)}"} | ({"X-Request-Key": key} if key else {})
        answer = await self.client.request(method, url, json=body, headers=headers)
        assert answer.is_success, answer.text
        return answer.json()

    async def operate(self, path: str, key: str) -> Any:
        """Do a step as an operator."""
        url = f"{self.live.endpoints.service}/ops/{path}"
        return await self.ask("POST", url, "operator_token", key=key, body={"why": "test"})

    async def audit(self, since: float = -math.inf) -> Any:
        """Compare the three records of the money, from an instant on."""
        folder = self.run / "witnesses"
        declared = load_witnesses(folder / "witnesses.yaml")
        return await asyncio.to_thread(reconcile, declared, declared.reconcile[0], folder, Window(since))

    async def until(self, promql: str, what: Callable[[float], bool] = bool) -> None:
        """Wait until a query has a value that fits."""

        async def value() -> float:
            return await self.prometheus.value(promql) or 0.0

        await holds(value, what, promql)

    def write(self, statement: str) -> list[Any]:
        """Change the ledger behind the wallet's back, and return what the statement returns."""
        with psycopg.connect(self.secret("owner_dsn"), connect_timeout=5) as connection:
            return connection.execute(statement).fetchall()


async def holds(ask: Callable[[], Awaitable[Any]], what: Callable[[Any], bool], name: str) -> None:
    """Poll other processes: there is no event to await."""
    found = await poll_until(ask, what, every_seconds=0.2, within_seconds=PATIENCE_SECONDS)
    assert what(found), f"{name}: {found} after {PATIENCE_SECONDS:g} s"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bench(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    """Start the wallet once for all tests of this file."""
    folder = tmp_path_factory.mktemp("wallet")
    settings = LiveStackSettings(load(WALLET / FILE_NAME), folder, SCALE, events_per_second=AGENTS_PER_SECOND)
    async with (
        STARTER.running(settings, lambda _: None) as live,
        httpx.AsyncClient(trust_env=False, timeout=15) as client,
    ):
        yield Bench(live, client)


@contextlib.asynccontextmanager
async def customers(bench: Bench, folder: Path) -> AsyncIterator[None]:
    """Drive the wallet meanwhile, by the load of its target's file."""
    live = bench.live.endpoints
    words = [
        str(WALLET / "load" / "customers.py"),
        live.service,
        str(live.secrets_folder / "app_token"),
        "40",
        str(AGENTS_PER_SECOND),
        "1",
        str(folder / "answers.jsonl"),
    ]
    process = await asyncio.create_subprocess_exec(sys.executable, *words)
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(process.wait(), 30) == 0


async def test_its_target_holds(bench: Bench) -> None:
    """Nothing fails of what the file says; not tried is what needs a second person, and the lost entry."""
    await bench.until('ALERTS{alertname="WalletWatchdog",alertstate="firing"}')
    known = flatten(json.loads(bench.live.endpoints.to_json()))
    target = load_target(WALLET / "targets" / "wallet.yaml", None, known)
    found = [each async for each in check_target(target, "bench")]
    assert [one.sentence for one in found if one.state is ContractState.FAILS] == []
    assert [one.sentence for one in found if one.state is ContractState.MISSING] == []
    untried = [one.sentence.partition(":")[0] for one in found if one.state is ContractState.NOT_TRIED]
    assert untried == ["movement.repost", "ledger"]


async def test_a_silent_bank_pages_by_name_and_every_order_is_resolved(bench: Bench, tmp_path: Path) -> None:
    """The page names the bank; pausing it ends the harm; back again it says what it moved."""
    live = bench.live.endpoints
    control, token = f"{live.providers['giro']}/control/faults", "giro_control_token"
    async with customers(bench, tmp_path):
        await bench.until('min(provider:top_up_valid:increase1m{provider!="none"})', lambda n: n >= 8)
        body = {"kind": "silent_after_moving", "share": 1, "lease_seconds": 120}
        fault = await bench.ask("POST", control, token, body=body)
        await bench.until(FIRING.format("WalletTopUpHardDown"))

        async def pages() -> set[tuple[str, str]]:
            answer = await bench.client.get(f"{live.pager}/pages?after=0&wait_seconds=0")
            return {
                (page["role"], alert["labels"].get("provider", ""))
                for page in answer.json()["pages"]
                for alert in page["alerts"]
                if alert["name"] == "WalletTopUpHardDown"
            }

        await holds(pages, {("wallet-dev", "giro"), ("money-desk", "giro")}.__eq__, "pages")
        assert await bench.operate("banks/giro/pause", "pause-giro-1") == {"bank": "giro", "paused": True}
        await bench.until("path:top_up_bad:ratio_rate1m", lambda share: share < 0.02)
        assert (await bench.prometheus.value('wallet_open_bank_orders{bank="giro"}') or 0) > 0
        result = await poll_until(
            lambda: board.check_board(WALLET, live.prometheus),
            lambda found: found.passed,
            every_seconds=1,
            within_seconds=PATIENCE_SECONDS,
        )
        assert result.findings == ()
        await bench.ask("DELETE", f"{control}/{fault['id']}", token)
        await bench.until("sum(wallet_open_bank_orders) == bool 0")
        assert await bench.operate("banks/giro/resume", "resume-giro-1") == {"bank": "giro", "paused": False}

    async def whole() -> Result:
        return (await bench.audit()).result  # type: ignore[no-any-return]

    await holds(whole, Result.WHOLE.__eq__, "audit")


async def test_a_lost_posting_is_found_and_booked_again(bench: Bench, tmp_path: Path) -> None:
    """By the audit, and by two checks; a second person agrees before it is booked again, once."""
    await _top_up(bench, "lost-posting-1")
    lost = bench.write(
        "DELETE FROM movement WHERE id = (SELECT id FROM movement WHERE kind = 'TOP_UP' "
        "ORDER BY booked_at DESC LIMIT 1) RETURNING amount"
    )
    assert lost == [(700,)]
    verdict = await bench.audit()
    assert verdict.result is Result.NOT_WHOLE
    kinds = {str(found.kind) for found in verdict.discrepancies}
    assert kinds == {"acknowledged_lost", "capture_without_posting"}
    await bench.until(FIRING.format("WalletPurseBalanceWrong"))
    await bench.until(FIRING.format("WalletOrderUnbooked"))
    waits = await bench.operate("reposts", "repost-key-1")
    assert waits["awaits"] == "approval"
    # Asked again it waits still, and whoever asked cannot agree.
    assert await bench.operate("reposts", "repost-key-1") == waits
    url = f"{bench.live.endpoints.service}/ops/approvals"
    refused = await bench.client.get(
        url, headers={"Authorization": f"Bearer {bench.secret('operator_token')}"}
    )
    assert refused.status_code == 403
    (pending,) = (await bench.ask("GET", url, "approver_token"))["approvals"]
    assert pending["action"] == "movement.repost"
    await bench.ask("POST", f"{url}/{pending['approval_id']}", "approver_token", body={"why": "agreed"})
    assert (await bench.operate("reposts", "repost-key-1"))["reposted"] == 1
    assert (await bench.operate("reposts", "repost-key-1"))["reposted"] == 0
    assert (await bench.audit()).result is Result.WHOLE
    await bench.until("sum(moneypath_check_violations) == bool 0")


async def test_a_wrong_payee_is_found(bench: Bench) -> None:
    """A sale that is moved to another purse together with its balances adds up; the witnesses tell."""
    await _top_up(bench, "wrong-payee-1")
    moved = bench.write(
        "WITH moved AS (UPDATE movement SET to_account = 'p-canary' WHERE request_key = 'wrong-payee-1' "
        "RETURNING (SELECT purse_id FROM bank_order WHERE id = order_id) AS purse), "
        "less AS (UPDATE purse SET balance = balance - 700 WHERE id = (SELECT purse FROM moved)), "
        "more AS (UPDATE purse SET balance = balance + 700 WHERE id = 'p-canary') SELECT purse FROM moved"
    )
    verdict = await bench.audit()
    assert verdict.result is Result.NOT_WHOLE
    assert {str(found.kind) for found in verdict.discrepancies} == {"beneficiary_differs"}
    purse = moved[0][0]
    assert purse in verdict.discrepancies[0].detail
    bench.write(
        f"WITH moved AS (UPDATE movement SET to_account = '{purse}' WHERE request_key = 'wrong-payee-1'), "
        f"less AS (UPDATE purse SET balance = balance + 700 WHERE id = '{purse}'), "
        "more AS (UPDATE purse SET balance = balance - 700 WHERE id = 'p-canary') SELECT 1"
    )
    assert (await bench.audit()).result is Result.WHOLE


async def test_withdrawn_money_that_came_by_transfer_is_beyond_the_witnesses(bench: Bench) -> None:
    """An audit from the first row takes it for uncovered, as the guide says; a window does not ask."""
    began = time.time()
    giver, taker = await _top_up(bench, "by-transfer-1"), await _open(bench)
    body = {"purse": giver, "reference": "ref-by-transfer-2", "cents": 700, "currency": "EUR"}
    service = bench.live.endpoints.service
    sent = body | {"to": taker}
    answer = await bench.ask("POST", f"{service}/transfers", "app_token", key="by-transfer-2", body=sent)
    assert answer == {"state": "DONE"}
    drawn = body | {"purse": taker, "reference": "ref-by-transfer-3"}
    answer = await bench.ask("POST", f"{service}/withdrawals", "app_token", key="by-transfer-3", body=drawn)
    assert answer["state"] == "DONE"
    verdict = await bench.audit()
    assert [str(found.kind) for found in verdict.discrepancies] == ["payout_exceeds_payable"]
    assert (await bench.audit(since=began)).result is Result.WHOLE


async def _open(bench: Bench) -> str:
    """Open a purse and return its id."""
    url = f"{bench.live.endpoints.service}/purses"
    opened = await bench.ask("POST", url, "app_token", body={"holder": "ada", "currency": "EUR"})
    return str(opened["purse"])


async def _top_up(bench: Bench, key: str) -> str:
    """Top a new purse up by seven euros, and return its id."""
    url, purse = f"{bench.live.endpoints.service}/topups", await _open(bench)
    body = {"purse": purse, "reference": f"ref-{key}", "cents": 700, "currency": "EUR"}
    answer = await bench.ask("POST", url, "app_token", key=key, body=body)
    assert answer["state"] == "DONE"
    assert await bench.ask("POST", url, "app_token", key=key, body=body) == answer
    return purse
