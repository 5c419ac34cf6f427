"""The checks read a large book in id ranges, and miss nothing of what they found when they read it whole."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from refpay.db.pool import Database
from refpay.operations import checks as rounds
from refpay.operations.checks import Checks
from refpay.operations.checks_repository import Reason

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.refpay.conftest import Client, RefpayDb

    from refpay.settings import Settings


@dataclass
class Clock:
    """Now is an hour on, so that every payment is older than the deadline; measured time is set by hand."""

    offset: timedelta = timedelta(hours=1)
    elapsed: float = 0.0

    def now(self) -> datetime:
        """Return the time by it."""
        return datetime.now(UTC) + self.offset

    def monotonic(self) -> float:
        """Let a second pass at each look."""
        self.elapsed += 1.0
        return self.elapsed


@pytest_asyncio.fixture(loop_scope="session")
async def database(live_settings: "Settings") -> "AsyncIterator[Database]":
    """Connect as the worker does."""
    found = await Database.connect(live_settings.database, most_connections=2)
    yield found
    await found.close()


def make_checks(database: Database, rows: int = 2, clock: Any = None) -> Checks:
    """Return checks that read two rows an id range, and one id range a sweep."""
    return Checks(
        database,
        clock=clock or Clock(),
        outcome_deadline=timedelta(seconds=2),
        id_range_rows=rows,
        sweep_seconds=0.0,
    )


async def found(checks: Checks) -> dict[str, tuple[int, int]]:
    """Run a round; return findings and money at risk by reason."""
    result: dict[str, tuple[int, int]] = {}
    for one in (await checks.run_once()).at_risk:
        before = result.get(one.reason.value, (0, 0))
        result[one.reason.value] = (before[0] + one.findings, before[1] + one.at_risk_minor_units)
    return result


POSTINGS = " WHERE kind = 'posting'"
FIRST = f"{POSTINGS} AND id = (SELECT min(id::text)::uuid FROM ledger.entry{POSTINGS})"
UNBALANCE = "UPDATE ledger.entry SET amounts_minor[2] = amounts_minor[2] + 7"
DUPLICATE = (
    "DROP INDEX payments.payment_live_reference; UPDATE payments.payment SET merchant_reference = 'twice'"
)


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("SELECT 1", {}),
        (UNBALANCE + FIRST, {Reason.LEDGER_IMBALANCE: (1, 7)}),
        (UNBALANCE + POSTINGS, {Reason.LEDGER_IMBALANCE: (5, 35)}),
        ("DELETE FROM ledger.entry" + FIRST, {Reason.CAPTURE_WITHOUT_POSTING: (1, 1000)}),
        ("DELETE FROM ledger.entry", {Reason.CAPTURE_WITHOUT_POSTING: (5, 5000)}),
        ("TRUNCATE ledger.entry", {Reason.CAPTURE_WITHOUT_POSTING: (5, 5000)}),
        (
            "UPDATE ledger.entry SET amounts_minor[:2] = '{9,-9}'" + FIRST,
            {Reason.CAPTURE_WITHOUT_POSTING: (1, 1000), Reason.POSTING_WITHOUT_CAPTURE: (1, 0)},
        ),
        (
            # What goes beyond the capture is at risk too.
            "UPDATE ledger.entry SET amounts_minor[:2] = '{1009,-1009}'" + FIRST,
            {Reason.CAPTURE_WITHOUT_POSTING: (1, 1000), Reason.POSTING_WITHOUT_CAPTURE: (1, 9)},
        ),
        (
            # Counted once: an amount is at risk under the first reason that fits.
            "UPDATE ledger.entry SET amounts_minor[:2] = '{9,-8}'" + FIRST,
            {Reason.LEDGER_IMBALANCE: (1, 1), Reason.CAPTURE_WITHOUT_POSTING: (1, 0)},
        ),
        (
            "UPDATE payments.operation SET status = 'failed' WHERE kind = 'capture'",
            {Reason.POSTING_WITHOUT_CAPTURE: (5, 5000)},
        ),
        (DUPLICATE, {Reason.DUPLICATE_CHARGE: (4, 4000)}),
    ],
)
async def test_id_ranges_find_what_one_reading_of_everything_finds(
    api: "Client", database: Database, db: "RefpayDb", statement: str, expected: dict[Reason, tuple[int, int]]
) -> None:
    """At the first round of a new process, in id ranges of two rows and in a single one."""
    for _ in range(5):
        await api.captured()
    if statement.startswith("TRUNCATE"):
        await db.tamper("ALTER TABLE ledger.entry DISABLE TRIGGER ALL")
        await _as_superuser(db, "SET session_replication_role = replica", statement)
    else:
        await db.tamper(statement)
    for rows in (2, 1000):
        assert await found(make_checks(database, rows)) == expected


TWICE = (
    "INSERT INTO ledger.entry SELECT (left(id::text, 24) || right(gen_random_uuid()::text, 12))::uuid, kind,"
    " operation_id, payment_id, posted_at, pg_current_xact_id(), accounts, currencies, amounts_minor"
    " FROM ledger.entry WHERE kind = '{}' ORDER BY id LIMIT 1"
)
HALVE = "UPDATE ledger.entry SET amounts_minor[:2] = '{{300,-300}}' WHERE kind = '{}'"


@pytest.mark.parametrize(
    ("operation", "entry", "accounts"),
    [
        ("capture", "posting", "provider_receivable:{}, merchant_payable:shop"),
        ("payout", "payout", "merchant_payable:shop, payout_clearing:{}"),
        ("refund", "reversal", "merchant_payable:shop, provider_receivable:{}"),
        ("chargeback", "chargeback", "merchant_payable:shop, provider_receivable:{}"),
        ("chargeback_reversal", "chargeback_reversal", "provider_receivable:{}, merchant_payable:shop"),
        ("undo_capture", "suspense", "suspense:{}, provider_receivable:{}"),
        ("suspense_release", "suspense_release", "merchant_payable:shop, suspense:{}"),
    ],
)
async def test_whatever_moves_money_is_entered_once(
    api: "Client", database: Database, db: "RefpayDb", operation: str, entry: str, accounts: str
) -> None:
    """As it was moved; not at all, as another amount, or twice by a hand beside the rules is found."""
    payment = await api.captured()
    amount = 1000 if operation == "capture" else 600
    provider = payment["provider"]
    if operation == "payout":
        wanted = {"merchant_reference": "p-1", "amount_minor": amount, "currency": "EUR"}
        payout = (await api.post("/v1/payouts", wanted)).body
        assert payout["status"] == "succeeded"
        # It goes its own way, and another one while a provider is slow.
        provider = payout["provider"]
    accounts = accounts.replace("{}", provider)
    if operation not in ("capture", "payout"):
        refund = await api.post(f"/v1/payments/{payment['id']}/refunds", {"amount_minor": amount})
        assert refund.status == 201
        # The same movement under another name, for what we do not begin.
        await db.tamper(
            f"UPDATE payments.operation SET kind = '{operation}' WHERE kind = 'refund'",
            f"UPDATE ledger.entry SET kind = '{entry}', accounts = '{{{accounts}}}' WHERE kind = 'reversal'",
        )
    assert await found(make_checks(database)) == {}
    kept = "DROP TABLE IF EXISTS public.kept; CREATE TABLE public.kept AS SELECT * FROM ledger.entry"
    back = ("DELETE FROM ledger.entry", "INSERT INTO ledger.entry SELECT * FROM public.kept")
    unposted = {Reason.CAPTURE_WITHOUT_POSTING: (1, amount)}
    for statement, expected in (
        (f"DELETE FROM ledger.entry WHERE kind = '{entry}'", unposted),
        (HALVE.format(entry), {**unposted, Reason.POSTING_WITHOUT_CAPTURE: (1, 0)}),
        (TWICE.format(entry), {Reason.POSTING_WITHOUT_CAPTURE: (1, amount)}),
    ):
        await db.tamper(kept, statement)
        for rows in (2, 1000):
            assert await found(make_checks(database, rows)) == expected
        await db.tamper(*back)
    assert await found(make_checks(database)) == {}
    lines = await db.rows(f"SELECT account FROM ledger.line WHERE kind = '{entry}'")
    assert {line["account"] for line in lines} >= set(accounts.split(", "))


async def _as_superuser(db: "RefpayDb", *statements: str) -> None:
    connection = await db.connect("postgres")
    try:
        rows = await connection.fetch(
            "SELECT oid::regclass::text FROM pg_class WHERE relname LIKE 'entry%' AND relkind IN ('r', 'p')"
        )
        for row in rows:
            await connection.execute(f"ALTER TABLE {row[0]} DISABLE TRIGGER ALL")
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def test_a_hand_in_the_old_books_is_found_without_the_sweep(
    api: "Client", database: Database, db: "RefpayDb", monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the sweep is: the server counts a change where nothing ever changes, within a second."""
    monkeypatch.setattr(Checks, "_sweep", lambda *_: asyncio.sleep(0))
    for _ in range(8):
        await api.captured()
    checks = make_checks(database)
    for _ in range(3):
        assert await found(checks) == {}
    kept = "CREATE TABLE public.kept AS SELECT * FROM ledger.entry"
    await db.tamper(kept, UNBALANCE + FIRST)
    async with asyncio.timeout(30):
        while (seen := await found(checks)) == {}:  # noqa: ASYNC110 - the server's counters have no event
            await asyncio.sleep(0.02)
    assert seen == {"ledger_imbalance": (1, 7)}
    # It stays until it is mended, and then it is gone at once.
    for _ in range(5):
        assert await found(checks) == {"ledger_imbalance": (1, 7)}
    await db.tamper("DELETE FROM ledger.entry", "INSERT INTO ledger.entry SELECT * FROM public.kept")
    assert await found(checks) == {}


async def test_what_no_counter_tells_is_found_by_the_sweep(
    api: "Client", database: Database, db: "RefpayDb"
) -> None:
    """A duplicate among old payments: within one sweep, each round of which reads one id range."""
    for _ in range(8):
        await api.captured()
    checks = make_checks(database)
    assert await found(checks) == {}
    await db.tamper(DUPLICATE)
    results = [await found(checks) for _ in range(12)]
    assert results[-1] == {"duplicate_charge": (7, 7000)}
    assert results[0] != results[-1]


async def test_a_capture_that_was_settled_late_is_looked_at_at_once(
    api: "Client", database: Database, db: "RefpayDb"
) -> None:
    """Its id range was closed long ago; the sweep would come by later."""
    for _ in range(8):
        await api.captured()
    await db.tamper(
        "UPDATE payments.operation SET settled_at = settled_at - interval '1 day', created_at = created_at"
        " - interval '1 day'"
    )
    checks = make_checks(database)
    for _ in range(2):
        assert await found(checks) == {}
    oldest = "(SELECT id FROM payments.operation WHERE kind = 'capture' ORDER BY id LIMIT 1)"
    await db.tamper(
        "UPDATE payments.operation SET amount_minor = 999, settled_at = now() + interval '1 hour'"
        f" WHERE id = {oldest}"
    )
    assert (await found(checks))["capture_without_posting"] == (1, 999)


async def test_the_data_are_read_and_not_the_constraint(
    api: "Client", database: Database, db: "RefpayDb"
) -> None:
    """Who puts the constraint back over what he changed convinces the planner, and not the check."""
    await api.captured()
    await db.tamper(
        UNBALANCE + POSTINGS,
        "ALTER TABLE ledger.entry ADD CONSTRAINT lines_balanced"
        " CHECK (ledger.lines_balanced(currencies, amounts_minor)) NOT VALID",
        "UPDATE pg_catalog.pg_constraint SET convalidated = true WHERE conname = 'lines_balanced'",
    )
    assert await found(make_checks(database)) == {"ledger_imbalance": (1, 7)}


async def test_catching_up_is_bounded_a_round(
    api: "Client", database: Database, db: "RefpayDb", monkeypatch: pytest.MonkeyPatch
) -> None:
    """When everything is due, a round reads for so long and says what it knows; the next one goes on."""
    for _ in range(8):
        await api.captured()
    checks = make_checks(database)
    await found(checks)
    monkeypatch.setattr(rounds, "CATCH_UP_SECONDS", 2.5)
    await db.tamper(UNBALANCE + POSTINGS)
    # What the server counts is seen a moment after the session that did it has ended.
    counted = "SELECT 1 FROM pg_stat_user_tables WHERE schemaname = 'ledger' AND n_tup_upd > 0"
    async with asyncio.timeout(30):
        while not await db.rows(counted):  # noqa: ASYNC110 - the server's counters have no event
            await asyncio.sleep(0.02)
    results = [(await found(checks)).get("ledger_imbalance", (0, 0))[0] for _ in range(6)]
    assert results == sorted(results)
    assert results[0] < 8
    assert results[-1] == 8
