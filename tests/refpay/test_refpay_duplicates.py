"""Giving back what a provider charged twice: each extra once, whatever happens on the way; never ours."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from refpay.clock import SystemClock
from refpay.db.pool import Database
from refpay.identity.principals import Principal
from refpay.operations.duplicates import Duplicates
from refpay.payments.claims import Command
from refpay.payments.intents import Deadlines
from refpay.providers.port import Answer as ProviderAnswer
from refpay.providers.port import Call
from refpay.settings import Settings, read_settings
from refpay.worker.main import open_worker

if TYPE_CHECKING:
    from tests.refpay.conftest import Acquirer, Answer, Client, RefpayDb

WITHIN_SECONDS = 30
EXTRAS = 3
PROMISED = {"north": Deadlines(*[timedelta(seconds=5)] * 3)}


@dataclass(frozen=True, slots=True)
class Shop:
    """An API and a worker before acquirers that close a report each second."""

    api: "Client"
    worker: "Client"
    db: "RefpayDb"
    acquirers: Mapping[str, "Acquirer"]
    settings: Settings

    async def charge_twice(self, provider: str) -> None:
        """Have a provider charge some orders twice and some once, and wait until its reports show it."""
        other = {"north": "south", "south": "north"}[provider]
        drained = await self.api.post(
            f"/v1/operations/providers/{other}/drain", {"reason": "test"}, by="operator"
        )
        assert drained.status == 200, drained.raw
        await self.api.captured(amount_minor=700)
        await self.acquirers[provider].inject(kind="forget")
        for number in range(EXTRAS):
            await self.api.captured(amount_minor=1000 + number)
        await self.acquirers[provider].heal()
        await self.api.captured(amount_minor=900)
        await self.until_duplicates(EXTRAS)

    async def until_duplicates(self, count: int) -> None:
        """Wait until the worker shows this many double charges, and as many breaks."""
        async with asyncio.timeout(WITHIN_SECONDS):
            while (await self._shown(), await self._open_breaks()) != (count, count):  # noqa: ASYNC110 - a scrape
                await asyncio.sleep(0.02)

    async def _shown(self) -> float:
        return await self.worker.metric("moneypath_duplicate_charges")

    async def _open_breaks(self) -> int:
        # Both acquirers of these tests take north's fees, so at south every fee is a break too.
        query = "SELECT 1 FROM reconciliation.break WHERE closed_at IS NULL AND class = 'duplicate'"
        return len(await self.db.rows(query))

    async def execute(
        self, provider: str, *, key: str | None = None, reason: str = "charged twice"
    ) -> "Answer":
        """Carry the action out."""
        path = f"/v1/operations/duplicates/{provider}/refund"
        return await self.api.post(path, {"reason": reason}, by="operator", key=key)

    async def approve(self, provider: str) -> int:
        """Approve as a second person what waits for this provider; return how many refunds that are."""
        pending = (await self.api.get("/v1/approvals", by="approver")).body["approvals"]
        (found,) = [one for one in pending if one["subject_id"] == provider]
        path = f"/v1/approvals/{found['approval_id']}/approve"
        answer = await self.api.post(path, {"reason": "looked at the reports"}, by="approver")
        assert (answer.status, answer.body["status"]) == (200, "approved"), answer.raw
        return len(found["content"]["refunds"])

    async def execute_approved(self, provider: str, *, key: str | None = None) -> "Answer":
        """Carry the action out, have it approved, and repeat it."""
        asked = await self.execute(provider, key=key)
        assert (asked.status, asked.body["awaits"]) == (202, "approval"), asked.raw
        await self.approve(provider)
        return await self.execute(provider, key=key)

    async def given_back(self, provider: str) -> Counter[tuple[str, int]]:
        """Return which movements the provider has given back, and how much of each."""
        truth = await self.acquirers[provider].truth()
        return Counter((row["parent"], row["amount_minor"]) for row in truth if row["status"] == "refunded")

    async def extras(self, provider: str) -> Counter[tuple[str, int]]:
        """Return the captures in the provider's book that are not ours."""
        query = "SELECT provider_reference FROM payments.operation WHERE kind = 'capture'"
        ours = {row["provider_reference"] for row in await self.db.rows(query)}
        truth = await self.acquirers[provider].truth()
        captures = [row for row in truth if row["status"] == "captured"]
        assert ours <= {row["provider_reference"] for row in captures}
        return Counter(
            (row["provider_reference"], row["amount_minor"])
            for row in captures
            if row["provider_reference"] not in ours
        )


@pytest_asyncio.fixture(loop_scope="session")
async def shop(
    db: "RefpayDb",
    secrets_folder: Path,
    reporting_acquirers: Mapping[str, "Acquirer"],
    make_environment: Callable[..., dict[str, str]],
    run_api: Callable[[Settings], Any],
    serve: Callable[..., Any],
) -> AsyncIterator[Shop]:
    """Run a shop."""
    urls = {f"REFPAY_{name.upper()}_URL": one.url for name, one in reporting_acquirers.items()}
    quick = {"REFPAY_RECONCILE_INTERVAL_SECONDS": "0.05"}
    settings = read_settings(make_environment(db, secrets_folder, **urls, **quick))
    async with run_api(settings) as api, open_worker(settings) as app, serve(app) as worker:
        yield Shop(api, worker, db, reporting_acquirers, settings)


@pytest.mark.parametrize("provider", ["north", "south"])
async def test_each_extra_is_given_back_once_and_the_breaks_close(shop: Shop, provider: str) -> None:
    """Two actions at once with two keys, one of them repeated: one refund an extra, audited once."""
    await shop.charge_twice(provider)
    extras = await shop.extras(provider)
    assert len(extras) == EXTRAS
    asked = await asyncio.gather(*(shop.execute(provider, key=key) for key in ("one", "two")))
    assert [answer.status for answer in asked] == [202, 202]
    assert await shop.given_back(provider) == Counter()
    assert await shop.approve(provider) == EXTRAS
    answers = await asyncio.gather(
        shop.execute(provider, key="one"),
        shop.execute(provider, key="two"),
        shop.execute(provider, key="one"),
    )
    assert [answer.status for answer in answers] == [200] * 3, [answer.raw for answer in answers]
    assert answers[0].raw == answers[2].raw
    assert answers[0].body == {
        "provider": provider,
        "refunded": EXTRAS,
        "minor_units": {"EUR": 3003},
        "changed": True,
    }
    assert await shop.given_back(provider) == extras
    events = await shop.db.rows("SELECT actor, after FROM audit.event WHERE action LIKE 'duplicate.%'")
    assert [event["actor"] for event in events] == ["operator"] * EXTRAS
    await shop.until_duplicates(0)
    after = await shop.execute(provider, key="three")
    assert (after.body["refunded"], after.body["changed"]) == (0, False)
    replayed = await shop.execute(provider, key="one")
    assert (replayed.replayed, replayed.raw) == (True, answers[0].raw)
    conflict = await shop.execute(provider, key="one", reason="another")
    assert (conflict.status, conflict.body["code"]) == (409, "idempotency_key_reused")
    assert await shop.given_back(provider) == extras
    assert (await shop.api.metric("moneypath_telemetry_drops_total", reason="unknown_value")) == 0


@pytest.mark.parametrize("fault", ["drop", "refuse"])
async def test_a_provider_that_does_not_confirm_is_asked_again(shop: Shop, fault: str) -> None:
    """Not answered or not done: the action says so, its key stays open, and nothing goes back twice."""
    await shop.charge_twice("north")
    extras = await shop.extras("north")
    await shop.acquirers["north"].inject(kind=fault, scope={"operations": ["refund"]})
    failed = await shop.execute_approved("north", key="again")
    assert (failed.status, failed.body["code"]) == (502, "duplicates_left")
    await shop.acquirers["north"].heal()
    answer = failed
    async with asyncio.timeout(WITHIN_SECONDS):
        while answer.status != 200:  # the breaker stays open for a while
            answer = await shop.execute("north", key="again")
    assert answer.body["refunded"] == EXTRAS
    assert await shop.given_back("north") == extras
    await shop.until_duplicates(0)
    assert len(await shop.db.rows("SELECT 1 FROM reconciliation.repair")) == EXTRAS


async def test_a_misstated_duplicate_is_not_given_back(shop: Shop) -> None:
    """A report that states one movement twice asks for a corrected report: no money moves."""
    await shop.acquirers["north"].inject(kind="misstate", what="duplicate", rate=1.0)
    other = "/v1/operations/providers/south/drain"
    assert (await shop.api.post(other, {"reason": "test"}, by="operator")).status == 200
    await shop.api.captured()
    await shop.until_duplicates(1)
    answer = await shop.execute("north")
    assert (answer.status, answer.body["refunded"], answer.body["changed"]) == (200, 0, False)
    assert await shop.given_back("north") == Counter()
    assert await shop.db.rows("SELECT 1 FROM reconciliation.repair") == []
    await shop.acquirers["north"].heal()
    await shop.until_duplicates(0)


async def test_an_unknown_provider_and_a_missing_reason_are_refused(shop: Shop) -> None:
    """404 and 422, and the key stays free."""
    assert (await shop.execute("west", key="free")).body["code"] == "provider_unknown"
    assert (await shop.execute("north", key="free", reason="")).status == 422
    assert (await shop.execute("north", key="free")).status == 200


class _Dying:
    """A provider in a process that is killed when it has been called: with its first call, or before it."""

    name = "north"

    def __init__(self) -> None:
        self.called = asyncio.Event()

    async def perform(self, call: Call) -> ProviderAnswer:
        """Never come back."""
        self.called.set()
        return await asyncio.Future()


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[Database]:
    database = await Database.connect(settings.database, most_connections=2)
    try:
        yield database
    finally:
        await database.close()


async def test_an_action_that_was_cut_off_is_finished_by_the_next(shop: Shop) -> None:
    """The keys were written down first: whoever actions next, under whatever key, sends those."""
    await shop.charge_twice("north")
    extras = await shop.extras("north")
    dying = _Dying()
    principal = Principal("operator", frozenset())
    command = Command(principal, "cut-off", bytes(32), "correlation", "live")
    async with _opened(shop.settings) as database:
        duplicates = Duplicates(database, {"north": dying}, SystemClock(), PROMISED)
        assert (await duplicates.refund(command, "north", reason="test")).answer.status == 202
        await shop.approve("north")
        executing = asyncio.create_task(duplicates.refund(command, "north", reason="test"))
        await asyncio.wait_for(dying.called.wait(), WITHIN_SECONDS)
        executing.cancel()
        await asyncio.gather(executing, return_exceptions=True)
    planned = await shop.db.rows("SELECT repair_key FROM reconciliation.repair ORDER BY 1")
    assert len(planned) == EXTRAS
    assert await shop.given_back("north") == Counter()
    assert (await shop.execute("north")).body["refunded"] == EXTRAS
    assert await shop.given_back("north") == extras
    sent = {row["key"] for row in await shop.acquirers["north"].truth() if row["status"] == "refunded"}
    assert sent == {row["repair_key"] for row in planned}
    await shop.until_duplicates(0)


async def test_without_a_second_person_no_money_moves(shop: Shop) -> None:
    """Repeated, approved by the requester, or refused: nothing is sent and no key is written."""
    await shop.charge_twice("north")
    for key in ("one", "one", "two"):
        asked = await shop.execute("north", key=key)
        assert (asked.status, asked.body["changed"]) == (202, False)
    path = f"/v1/approvals/{asked.body['approval_id']}"
    own = await shop.api.post(f"{path}/approve", {"reason": "mine"}, by="operator")
    assert (own.status, own.body["code"]) == (403, "scope_missing")
    refused = await shop.api.post(f"{path}/refuse", {"reason": "not these"}, by="approver")
    assert refused.body["status"] == "refused"
    again = await shop.api.post(f"{path}/approve", {"reason": "or yes"}, by="approver")
    assert (again.status, again.body["code"]) == (409, "approval_refused")
    assert (await shop.execute("north", key="one")).body["approval_id"] != asked.body["approval_id"]
    assert await shop.given_back("north") == Counter()
    assert await shop.db.rows("SELECT 1 FROM reconciliation.repair") == []


async def test_only_what_was_approved_is_given_back(shop: Shop) -> None:
    """What is reported after the approval waits for the next one; the audit names both persons."""
    await shop.charge_twice("north")
    first = await shop.extras("north")
    assert (await shop.execute("north", key="first")).status == 202
    assert await shop.approve("north") == EXTRAS
    await shop.acquirers["north"].inject(kind="forget")
    await shop.api.captured(amount_minor=5000)
    await shop.acquirers["north"].heal()
    await shop.until_duplicates(EXTRAS + 1)
    answer = await shop.execute("north", key="first")
    assert (answer.status, answer.body["minor_units"]) == (200, {"EUR": 3003})
    assert await shop.given_back("north") == first
    query = "SELECT actor FROM audit.event WHERE action LIKE 'approval.%' ORDER BY seq"
    assert [row["actor"] for row in await shop.db.rows(query)] == ["operator", "approver", "operator"]
    await shop.until_duplicates(1)
    assert (await shop.execute_approved("north")).body["minor_units"] == {"EUR": 5000}
    await shop.until_duplicates(0)


async def test_an_approval_of_what_has_changed_is_not_used(shop: Shop) -> None:
    """One of the movements is settled otherwise: the rest is asked for anew."""
    await shop.charge_twice("north")
    assert (await shop.execute("north", key="one")).status == 202
    assert await shop.approve("north") == EXTRAS
    close = """DO $$ BEGIN
        LOCK TABLE reconciliation.break;  -- and from now on the worker opens none
        REVOKE INSERT ON reconciliation.break FROM refpay_app;
        UPDATE reconciliation.break SET closed_at = now()
        WHERE id = (SELECT id FROM reconciliation.break WHERE closed_at IS NULL ORDER BY id LIMIT 1);
    END $$"""
    await shop.db.rows(close, role="refpay_owner")
    asked = await shop.execute("north", key="one")
    assert asked.status == 202
    assert await shop.given_back("north") == Counter()
