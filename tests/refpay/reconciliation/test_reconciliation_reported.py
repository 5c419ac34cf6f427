"""What a settlement report is the first to say: how an operation ended, and that a capture was taken back."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

import refpay
from moneypath.telemetry import Catalogue, setup
from refpay.identity.approvals import Actor, decide
from refpay.identity.principals import Principal
from refpay.measures import WORKER_METRICS, ServiceMetrics
from refpay.operations.checks_repository import read_open
from refpay.payments.claims import Command
from refpay.payments.outcome_resolver import OutcomeResolver
from refpay.payments.releasing import Suspense
from refpay.payments.webhooks import Webhooks
from refpay.reconciliation.operator_actions import read_overview
from refpay.reconciliation.rounds import Reconciler

from .bench import Op, Row, at, capture

if TYPE_CHECKING:
    from .bench import Bench


def listen(bench: "Bench") -> None:
    """Hand what reports say to the payments, as the worker does."""
    catalogue = Catalogue.load(Path(refpay.__file__).with_name("catalogue.json"))
    measures = ServiceMetrics(setup(catalogue, service="refpay-worker", metrics=WORKER_METRICS))
    resolver = OutcomeResolver(bench.database, measures=measures, clock=bench.clock)
    for name, source in bench.sources.items():
        bench.reconcilers[name] = Reconciler(
            bench.database,
            source,
            rules=bench.rules,
            counters=bench.counters,
            clock=bench.clock,
            on_movement=Webhooks(resolver, measures=measures, clock=bench.clock).apply_line,
        )


def taken_back(op: Op, movement: str, *, won: bool = False, amount: int = 400) -> Row:
    """Return the line of a chargeback of a capture, or of its reversal."""
    kind = "chargeback_reversal" if won else "chargeback"
    return replace(op.row(), kind=kind, movement=movement, amount=amount, fee=0)


@pytest.mark.parametrize("provider", ["north", "south"])
async def test_a_reported_chargeback_is_taken_and_matches(bench: "Bench", provider: str) -> None:
    """It is new with the report: no break, the merchant bears it once, and what is won comes back."""
    listen(bench)
    charge = capture(provider)
    await bench.have(charge)
    bench.acquirers[provider].publish(0, [charge.row(), taken_back(charge, "cb-1")])
    await bench.round(21)
    await bench.round(22)
    assert await bench.breaks() == []
    query = "SELECT status, charged_back_minor FROM payments.payment"
    assert await bench.db.rows(query) == [{"status": "charged_back", "charged_back_minor": 400}]
    assert await bench.watermark(provider) == 10
    later = taken_back(charge, "cb-1", won=True)
    bench.acquirers[provider].publish(1, [replace(later, at=at(15))])
    await bench.round(31)
    assert await bench.breaks() == []
    assert await bench.db.rows(query) == [{"status": "captured", "charged_back_minor": 0}]
    entries = await bench.db.rows(
        "SELECT kind FROM ledger.entry WHERE kind LIKE 'charge%' ORDER BY posted_at, id"
    )
    assert [row["kind"] for row in entries] == ["chargeback", "chargeback_reversal"]


async def test_a_chargeback_that_does_not_fit_is_a_break(bench: "Bench") -> None:
    """More than was captured, and one of nothing of ours: each shows, and is applied to nobody."""
    listen(bench)
    charge, stranger = capture(), capture(second=6)
    await bench.have(charge)
    rows = [charge.row(), taken_back(charge, "cb-1", amount=1001), taken_back(stranger, "cb-2")]
    bench.north.publish(0, rows)
    await bench.round(21)
    await bench.round(22)
    assert await bench.breaks() == [("missing_ours", "EUR", 400), ("missing_ours", "EUR", 1001)]
    assert await bench.db.rows("SELECT 1 FROM payments.payment WHERE charged_back_minor > 0") == []


async def test_a_report_settles_what_nobody_answered(bench: "Bench") -> None:
    """The line is the provider's word: the operation is settled before it is compared, and matches."""
    listen(bench)
    silent = capture(second=5)
    await bench.begin(silent)
    connection = await bench.db.connect("postgres")
    try:
        await connection.execute(
            "SET session_replication_role = replica; UPDATE payments.payment SET status = 'authorized',"
            " captured_minor = 0, capture_reserved_minor = amount_minor"
        )
    finally:
        await connection.close()
    claim = (
        "INSERT INTO payments.idempotency_key (principal, key, fingerprint, operation_id, claimed_at)"
        " SELECT principal, idempotency_key, sha256('x'), id, created_at FROM payments.operation"
    )
    await bench.db.rows(claim)
    bench.north.publish(0, [silent.row()])
    await bench.round(21)
    rows = await bench.db.rows("SELECT status, settled_by FROM payments.operation")
    assert rows == [{"status": "succeeded", "settled_by": "provider:north"}]
    assert await bench.breaks() == []


async def test_a_reported_refund_that_we_had_failed_stays_a_break(bench: "Bench") -> None:
    """Its money stands in suspense, and no round takes that for an explanation: people decide."""
    listen(bench)
    late = replace(capture(amount=400), kind="refund")
    await bench.begin(late)
    await bench.settle(late, status="failed")
    bench.north.publish(0, [late.row()])
    for second in (21, 22):
        await bench.round(second)
    assert await bench.breaks() == [("status", "EUR", 400)]
    suspense = "SELECT sum(amount_minor) AS n FROM ledger.line WHERE account = 'suspense:north'"
    assert (await bench.db.rows(suspense))[0]["n"] == 400


async def test_a_late_refund_is_no_break_once_its_merchant_bears_it(bench: "Bench") -> None:
    """The action's operation is what people see beside the break; the next round closes it."""
    listen(bench)
    charge = capture()
    await bench.have(charge)
    late = replace(capture(amount=400), kind="refund")
    await bench.begin(late)
    await bench.settle(late, status="failed")
    await bench.db.tamper(
        "UPDATE payments.operation SET payment_id = (SELECT payment_id FROM payments.operation"
        " WHERE kind = 'capture') WHERE kind = 'refund'",
        "UPDATE payments.payment SET refund_reserved_minor = 0",
    )
    bench.north.publish(0, [charge.row(), late.row()])
    await bench.round(21)
    assert await bench.breaks() == [("status", "EUR", 400)]
    async with bench.database.transaction() as connection:
        [shown] = (await read_overview(connection))["newest_breaks"]
    operation_id = shown["operation_id"]
    suspense = Suspense(bench.database, bench.clock, lambda _entry: None)
    assert isinstance(operation_id, UUID)
    command = Command(Principal("ann", frozenset()), "pull", bytes(32), "correlation", "live")
    asked = await suspense.release(command, operation_id, reason="case 7")
    await bench.round(22)
    assert (asked.answer.status, await bench.breaks()) == (202, [("status", "EUR", 400)])
    async with bench.database.transaction() as connection:
        approval_id = UUID(json.loads(asked.answer.body)["approval_id"])
        bob = Actor("bob", "correlation", bench.clock.now())
        await decide(connection, approval_id, bob, agreed=True, reason="as the report says")
    assert (await suspense.release(command, operation_id, reason="case 7")).answer.status == 200
    await bench.round(23)
    assert await bench.breaks() == []
    async with bench.database.transaction() as connection:
        assert await read_open(connection, now=at(24), posted_before=at(24)) == []
    bench.north.publish(1, [])
    await bench.round(41)
    assert await bench.breaks() == []
    assert await bench.watermark("north") == 20


async def test_a_reported_capture_that_we_had_failed_is_given_back(bench: "Bench") -> None:
    """Its money stands in suspense, which agrees with the report, and its refund is on its way."""
    listen(bench)
    late = capture(second=5)
    await bench.begin(late)
    await bench.settle(late, status="failed")
    bench.north.publish(0, [late.row()])
    await bench.round(21)
    await bench.round(22)
    assert await bench.breaks() == []
    rows = await bench.db.rows("SELECT kind, status FROM payments.operation ORDER BY created_at")
    assert [(row["kind"], row["status"]) for row in rows] == [
        ("capture", "failed"),
        ("undo_capture", "started"),
    ]


@pytest.mark.parametrize("status", ["declined", "failed"])
async def test_a_late_capture_that_is_not_given_back_becomes_a_break(bench: "Bench", status: str) -> None:
    """Nobody would look at what is left in suspense otherwise; given back after all, it is none any more."""
    listen(bench)
    late = capture(second=5)
    await bench.begin(late)
    await bench.settle(late, status="failed")
    bench.north.publish(0, [late.row()])
    await bench.round(21)
    assert await bench.breaks() == []
    [undo] = await bench.db.rows("SELECT * FROM payments.operation WHERE kind = 'undo_capture'")
    end = "UPDATE payments.operation SET status = $1, settled_at = $2, settled_by = 'worker' WHERE id = $3"
    await bench.db.rows(end, status, at(22), undo["id"])
    for second in (23, 24):
        await bench.round(second)
    assert await bench.breaks() == [("status", "EUR", 1000)]
    back = replace(late.row(), kind="refund", key=str(undo["provider_key"]), movement="back", fee=0)
    bench.north.publish(1, [replace(back, at=at(15))])
    for second in (31, 32):
        await bench.round(second)
    assert await bench.db.rows(
        "SELECT sum(amount_minor) AS n FROM ledger.line WHERE account = 'suspense:north'"
    ) == [{"n": 0}]
    assert await bench.breaks() == []


async def test_a_late_capture_that_is_long_in_being_given_back_is_at_risk_once(bench: "Bench") -> None:
    """As a break, once the time to give it back is over; until then its undo is all there is to see."""
    listen(bench)
    late = capture(second=5)
    await bench.begin(late)
    await bench.settle(late, status="failed")
    bench.north.publish(0, [late.row()])
    for second, risks in ((21, {"indeterminate": 1000}), (100, {"reconciliation_break": 1000})):
        await bench.round(second)
        async with bench.database.transaction() as connection:
            found = await read_open(connection, now=at(second + 1), posted_before=at(second))
        assert {one.reason: one.at_risk_minor_units for one in found if one.at_risk_minor_units} == risks
