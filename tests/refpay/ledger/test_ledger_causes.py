"""An entry without its cause is refused by the database; where it is not, checks and `verify` find it."""

import asyncio
import json
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from refpay.db.pool import Database
from refpay.ids import mint_id
from refpay.ledger.entries import EntryKind
from refpay.operations.checks import Checks
from refpay.operations.checks_repository import Reason

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from tests.refpay.conftest import Client, RefpayDb

    from refpay.settings import Settings

ENTRY = """
    INSERT INTO ledger.entry (
        id, kind, operation_id, payment_id, posted_at, accounts, currencies, amounts_minor)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""
# As the service books each kind, debit first.
PAIRS = {
    EntryKind.HOLD: ("hold_receivable:north", "hold_payable:shop"),
    EntryKind.RELEASE: ("hold_payable:shop", "hold_receivable:north"),
    EntryKind.POSTING: ("provider_receivable:north", "merchant_payable:shop"),
    EntryKind.REVERSAL: ("merchant_payable:shop", "provider_receivable:north"),
    EntryKind.PAYOUT: ("merchant_payable:shop", "payout_clearing:north"),
    EntryKind.CHARGEBACK: ("merchant_payable:shop", "provider_receivable:north"),
    EntryKind.CHARGEBACK_REVERSAL: ("provider_receivable:north", "merchant_payable:shop"),
    EntryKind.FEE: ("provider_receivable:north", "provider_fees:north"),
    EntryKind.FX: ("provider_receivable:north", "fx_position:EUR"),
    EntryKind.SUSPENSE: ("provider_receivable:north", "suspense:north"),
    EntryKind.SUSPENSE_RELEASE: ("merchant_payable:shop", "suspense:north"),
}
EACH = pytest.mark.parametrize("kind", list(EntryKind))
PAST = timedelta(minutes=5)


class Clock:
    """Now, and every stretch takes no time."""

    now = staticmethod(lambda: datetime.now(UTC))
    monotonic = staticmethod(lambda: 0.0)


@pytest_asyncio.fixture(loop_scope="session")
async def checks(live_settings: "Settings") -> "AsyncIterator[Checks]":
    """Check as the worker does."""
    database = await Database.connect(live_settings.database, most_connections=2)
    yield Checks(database, clock=Clock(), outcome_deadline=timedelta(seconds=2))
    await database.close()


async def write(
    db: "RefpayDb",
    kind: EntryKind,
    operation_id: UUID | None = None,
    payment_id: UUID | None = None,
    *,
    accounts: "Sequence[str] | None" = None,
    amounts: "Sequence[int]" = (700, -700),
    role: str = "refpay_app",
    at: datetime | None = None,
) -> UUID:
    """Write an entry beside the service; return its id."""
    at = at or datetime.now(UTC) - PAST
    if payment_id is None and kind in ("hold", "release", "posting", "reversal"):
        payment_id = mint_id(at)
    entry_id, accounts = mint_id(at), accounts or PAIRS[kind]
    currencies = ["EUR"] * len(accounts)
    await db.rows(
        ENTRY,
        entry_id,
        kind,
        operation_id or mint_id(at),
        payment_id,
        at,
        accounts,
        currencies,
        amounts,
        role=role,
    )
    return entry_id


@EACH
@pytest.mark.parametrize("role", ["refpay_app", "refpay_owner"])
async def test_the_database_refuses_an_entry_without_its_cause(
    db: "RefpayDb", kind: EntryKind, role: str
) -> None:
    """Whoever writes it; nothing of it stays."""
    with pytest.raises(asyncpg.CheckViolationError, match=f"has no cause: {kind}"):
        await write(db, kind, role=role)
    assert await db.rows("SELECT 1 FROM ledger.entry") == []


@EACH
async def test_a_forged_entry_of_each_kind_is_found_and_named(
    db: "RefpayDb", checks: Checks, environment: dict[str, str], kind: EntryKind
) -> None:
    """By the next round of the checks, which is what is paged, and by the command `verify`."""
    assert (await checks.run_once()).at_risk == []
    await db.allow_uncaused()
    entry_id = await write(db, kind)
    [found] = (await checks.run_once()).at_risk
    assert (found.reason, found.provider, found.currency) == (Reason.POSTING_WITHOUT_CAPTURE, "north", "EUR")
    assert (found.findings, found.at_risk_minor_units) == (1, 700)
    told = await verify(environment)
    assert [(one["kind"], one["subject"]) for one in told["findings"]] == [
        ("entry_unexplained", str(entry_id))
    ]


async def verify(environment: dict[str, str]) -> Any:
    """Run the command as an operator does; return its report."""
    running = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "refpay.ledger",
        "verify",
        "--json",
        env=environment,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await running.communicate()
    report = json.loads(output)
    assert running.returncode == (1 if report["findings"] else 0)
    return report


# What is wrong with the entry of a payout of 600, which `shop` was paid at `north`: a statement on `entry`.
LIES = {
    "another merchant pays": "accounts = '{merchant_payable:rival, payout_clearing:{}}'",
    "another provider clears": "accounts = '{merchant_payable:shop, payout_clearing:else}'",
    "it comes from suspense": "accounts = '{suspense:{}, payout_clearing:{}}'",
    "nothing is cleared": "accounts = '{merchant_payable:shop, merchant_payable:rival}'",
    "more is paid": "amounts_minor = '{601, -601}'",
    "less is paid": "amounts_minor = '{599, -599}'",
    "it is paid back": "amounts_minor = '{-600, 600}'",
    "it is in another currency": "currencies = '{USD, USD}'",
    "it is called a fee": "kind = 'fee'",
    "it is called a chargeback": "kind = 'chargeback'",
    "it has two more lines": (
        "accounts = accounts || '{merchant_payable:rival, suspense:{}}',"
        " currencies = '{EUR, EUR, EUR, EUR}', amounts_minor = '{600, -600, 50, -50}'"
    ),
    "it ends a hold": (
        "accounts = accounts || '{hold_payable:shop, hold_receivable:{}}',"
        " currencies = '{EUR, EUR, EUR, EUR}', amounts_minor = '{600, -600, 50, -50}'"
    ),
    "it names a payment": "payment_id = (SELECT id FROM payments.payment)",
    "it is of no operation": "operation_id = gen_random_uuid()",
}


@pytest.mark.parametrize("lie", LIES.values(), ids=list(LIES))
async def test_whatever_is_changed_in_an_entry_is_found(api: "Client", db: "RefpayDb", lie: str) -> None:
    """Each field of it is compared with what was done, so that no other explains it."""
    payment = await api.captured()
    wanted = {"merchant_reference": "p-1", "amount_minor": 600, "currency": "EUR"}
    assert (await api.post("/v1/payouts", wanted)).body["status"] == "succeeded"
    assert await db.unexplained() == []
    [payout] = await db.rows("SELECT id, accounts[2] AS account FROM ledger.entry WHERE kind = 'payout'")
    provider = payout["account"].partition(":")[2]
    await db.tamper(f"UPDATE ledger.entry SET {lie.replace('{}', provider)} WHERE kind = 'payout'")
    assert await db.unexplained() == [payout["id"]], payment


@pytest.mark.parametrize(
    ("status", "told", "found"),
    [
        ("succeeded", None, False),
        ("failed", None, True),
        ("failed", "payout.contradicted", False),
        ("failed", "refund.contradicted", True),
        ("started", "payout.contradicted", True),
        ("declined", "payout.contradicted", False),
    ],
)
async def test_a_late_outcome_explains_an_entry_if_it_was_recorded(
    api: "Client", db: "RefpayDb", status: str, told: str | None, *, found: bool
) -> None:
    """What a provider did although we had answered that it did not has its own record in the audit trail."""
    await api.captured()
    wanted = {"merchant_reference": "p-1", "amount_minor": 600, "currency": "EUR"}
    assert (await api.post("/v1/payouts", wanted)).body["status"] == "succeeded"
    record = (
        "INSERT INTO audit.event (id, at, actor, action, subject_kind, subject_id, after, correlation_id)"
        f" SELECT gen_random_uuid(), now(), 'worker', '{told}', 'operation', id,"
        """ '{"found": "succeeded"}', 'c' FROM payments.operation WHERE kind = 'payout'"""
    )
    await db.tamper(
        f"UPDATE payments.operation SET status = '{status}',"
        f" settled_at = CASE '{status}' WHEN 'started' THEN NULL ELSE now() END WHERE kind = 'payout'",
        *([record] if told else []),
    )
    assert bool(await db.unexplained()) is found
