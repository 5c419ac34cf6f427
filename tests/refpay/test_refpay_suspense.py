"""What people decide about a refund that came too late: its merchant bears it, once, as two persons say."""

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moneypath.oracle import (
    Acknowledgement,
    Charge,
    ChargeStatus,
    DiscrepancyKind,
    Operation,
    Outcome,
    PostingLine,
    find_discrepancies,
)
from refpay.db.pool import Database
from refpay.errors import RefpayError
from refpay.identity.approvals import Actor, decide
from refpay.identity.principals import Principal
from refpay.ledger.entries import Entry
from refpay.ledger.receipt_log import ReceiptReader
from refpay.money import Currency, Money
from refpay.operations.checks import Checks
from refpay.payments.claims import Command, fingerprint
from refpay.payments.errors import KeyReused
from refpay.payments.model import PayoutOrder
from refpay.payments.releasing import Suspense
from refpay.providers.port import CallKind

from . import test_refpay_life_cycle as life_cycle
from .faulty import Fate, ProcessDied
from .test_refpay_money_endpoints import AnHourOn, tell

if TYPE_CHECKING:
    from tests.refpay.conftest import Answer, Client, RefpayDb

    from refpay.settings import Settings

    from .test_refpay_life_cycle import Bench

bench = life_cycle.bench
CORRELATION = "correlation-of-the-action"
# What the action had written down outside the database; of all tests.
NOTED: list[Entry] = []


def action_command(key: str, by: str = "ann", *, reason: str = "case 7") -> Command:
    """Return the command of somebody who actions the action."""
    return Command(
        Principal(by, frozenset()), key, fingerprint("POST", "/", {"reason": reason}), CORRELATION, "live"
    )


async def execute(bench: "Bench", operation_id: UUID, key: str = "execute", by: str = "ann") -> Any:
    """Carry the action out; return the status and the body, or the code of what refuses it."""
    suspense = Suspense(bench.database, bench.clock, NOTED.append)
    try:
        reply = await suspense.release(action_command(key, by), operation_id, reason="case 7")
    except RefpayError as refusal:
        return refusal.code
    body = json.loads(reply.answer.body)
    return body.get("code", reply.answer.status)


async def agree(bench: "Bench", operation_id: UUID, asked_by: str = "ann", *, agreed: bool = True) -> None:
    """Decide as a second person on what somebody asked for."""
    query = (
        "SELECT id FROM identity.approval WHERE subject_id = $1 AND requested_by = $2 AND status = 'pending'"
    )
    [row] = await bench.rows(query, str(operation_id), asked_by)
    async with bench.database.transaction() as connection:
        person = Actor("bob", "request-of-bob", bench.clock.now())
        await decide(connection, row["id"], person, agreed=agreed, reason="as the report says")


async def come_late(bench: "Bench", payment_id: UUID, minor: int | None, kind: str = "refund") -> UUID:
    """Have a refund (or another kind) done after all that we had answered as failed; return its operation."""
    bench.meet(Fate.LATE)
    door = getattr(bench.payments, kind)
    given = (payment_id,) if minor is None else (payment_id, minor)
    assert (await door(bench.command(), *given)).answer.status == 202
    bench.meet(Fate.DONE)
    await bench.work()
    for provider in bench.providers.values():
        provider.arrive()
    late = (await bench.operations(kind))[-1]
    assert late["status"] == "failed"
    await bench.tell(late)
    found: UUID = late["id"]
    return found


async def suspended(bench: "Bench", *parts: int, minor: int) -> tuple[UUID, UUID]:
    """Return a captured payment and a refund of it that stands in suspense."""
    payment_id = await bench.captured(*parts)
    return payment_id, await come_late(bench, payment_id, minor)


async def books(bench: "Bench", payment_id: UUID) -> tuple[int, int, int, int]:
    """Return what is owed, what is in suspense, how often it was released, and what counts as refunded."""
    row = await bench.payment(payment_id)
    releases = await bench.operations("suspense_release")
    owed = -await bench.balance("merchant_payable:shop")
    return owed, await bench.balance(f"suspense:{row['provider']}"), len(releases), row["refunded_minor"]


async def test_a_merchant_bears_a_late_refund_once(bench: "Bench") -> None:
    """Asked, agreed, posted; on record with who, before and after, and told as what it is."""
    payment_id, late = await suspended(bench, 1000, minor=400)
    assert await books(bench, payment_id) == (1000, 400, 0, 0)
    assert [await execute(bench, late), await execute(bench, late)] == [202, 202]
    assert await books(bench, payment_id) == (1000, 400, 0, 0)
    await agree(bench, late)
    assert await execute(bench, late) == 200
    assert await books(bench, payment_id) == (600, 0, 1, 400)
    assert await execute(bench, late) == 200
    assert await execute(bench, late, "another") == "suspense_released"
    assert await execute(bench, late, "another") == "suspense_released"
    assert await execute(bench, late, "hers", by="eve") == "suspense_released"
    assert await books(bench, payment_id) == (600, 0, 1, 400)
    [witnessed] = [one for one in NOTED if one.payment_id == payment_id]
    [entry] = await bench.rows("SELECT id, accounts, amounts_minor FROM ledger.entry WHERE kind ~ '_release'")
    provider = (await bench.payment(payment_id))["provider"]
    assert witnessed.id == entry["id"]
    assert entry["accounts"] == ["merchant_payable:shop", f"suspense:{provider}"]
    assert entry["amounts_minor"] == [400, -400]
    events = await bench.rows(
        "SELECT actor, action, before, after FROM audit.event WHERE correlation_id = $1 ORDER BY seq",
        CORRELATION,
    )
    assert [(one["actor"], one["action"]) for one in events] == [
        ("ann", "approval.requested"),
        ("ann", "approval.used"),
        ("ann", "suspense_release.begun"),
        ("ann", "suspense_release.succeeded"),
        ("ann", "payment.changed"),
    ]
    assert json.loads(events[1]["after"])["reason"] == "case 7"
    before, after = (json.loads(events[4][name]) for name in ("before", "after"))
    assert (before["refunded_minor"], after["refunded_minor"]) == (0, 400)
    [told] = await bench.rows(
        "SELECT body::jsonb ->> 'type' AS type FROM outbox.event ORDER BY seq DESC LIMIT 1"
    )
    assert told["type"] == "payment.late_refund_borne"


async def test_what_is_released_can_be_refunded_no_more(bench: "Bench") -> None:
    """Neither of the payment nor of the one capture that it was of: the provider is never asked for it."""
    payment_id, late = await suspended(bench, 600, 400, minor=500)
    await execute(bench, late)
    await agree(bench, late)
    assert await execute(bench, late) == 200
    answers = await asyncio.gather(
        *(bench.payments.refund(bench.command(), payment_id, 100) for _ in range(8)), return_exceptions=True
    )
    assert life_cycle.codes(answers).count("done") == 5  # type: ignore[arg-type]
    row = await bench.payment(payment_id)
    assert (row["refunded_minor"], row["status"]) == (1000, "refunded")
    assert not any(provider.refused for provider in bench.providers.values())
    payment_id, late = await suspended(bench, 600, 400, minor=500)
    await execute(bench, late, "second")
    await agree(bench, late)
    assert await execute(bench, late, "second") == 200
    # 500 are left of the payment, and 100 of the capture that the late one was of.
    refused = await bench.payments.refund(bench.command(), payment_id, 500)
    assert b"left to refund of one capture: 400" in refused.answer.body


async def test_a_whole_late_refund_leaves_the_payment_refunded(bench: "Bench") -> None:
    """Its status says so, and a chargeback that came first does not hinder it."""
    payment_id, late = await suspended(bench, 1000, minor=1000)
    [capture] = await bench.operations("capture")
    await bench.tell(capture, type="chargeback.opened", movement="cb", amount=1000)
    for _ in range(2):
        await execute(bench, late)
        await agree(bench, late) if not (await bench.operations("suspense_release")) else None
    row = await bench.payment(payment_id)
    assert (row["status"], row["refunded_minor"], row["charged_back_minor"]) == ("charged_back", 1000, 1000)
    await bench.tell(capture, type="chargeback.won", movement="cb", amount=1000)
    assert (await bench.payment(payment_id))["status"] == "refunded"


@pytest.mark.parametrize("agreed", [None, False])
async def test_nothing_is_released_without_a_second_person(bench: "Bench", agreed: bool | None) -> None:
    """Not while nobody has decided, nor when it was refused: then it is asked for anew."""
    payment_id, late = await suspended(bench, 1000, minor=400)
    assert await execute(bench, late) == 202
    if agreed is False:
        await agree(bench, late, agreed=False)
    assert [await execute(bench, late), await execute(bench, late, "two")] == [202, 202]
    assert await books(bench, payment_id) == (1000, 400, 0, 0)
    asked = await bench.rows("SELECT status FROM identity.approval ORDER BY id")
    assert [row["status"] for row in asked] == ["pending"] if agreed is None else ["refused", "pending"]


async def test_what_was_agreed_on_is_for_whoever_asked(bench: "Bench") -> None:
    """Another one's request asks for an agreement of its own; one agreement is used up once."""
    payment_id, late = await suspended(bench, 1000, minor=400)
    await execute(bench, late)
    await agree(bench, late)
    assert await execute(bench, late, "hers", by="eve") == 202
    bench.clock.at += timedelta(minutes=15)
    assert await execute(bench, late) == 202
    assert await books(bench, payment_id) == (1000, 400, 0, 0)


async def test_two_actions_at_once_release_once(bench: "Bench") -> None:
    """The same request twice gets one answer; another person's gets told that it is done."""
    payment_id, late = await suspended(bench, 1000, minor=400)
    for by in ("ann", "eve"):
        await execute(bench, late, by, by=by)
        await agree(bench, late, by)
    suspense = Suspense(bench.database, bench.clock, NOTED.append)
    replies = await asyncio.gather(
        *(
            suspense.release(action_command(by, by), late, reason="case 7")
            for by in ("ann", "ann", "eve", "eve", "ann")
        )
    )
    assert len({reply.answer for reply in replies}) == 2
    assert sorted(reply.answer.status for reply in replies) in ([200] * 3 + [409] * 2, [200] * 2 + [409] * 3)
    assert sum(not reply.replayed for reply in replies) == 2
    assert await books(bench, payment_id) == (600, 0, 1, 400)


async def test_what_is_not_in_suspense_is_refused(bench: "Bench") -> None:
    """By a stable code; a refusal for good is an answer, and what is unknown or under way leaves its key."""
    payment_id = await bench.captured(1000)
    assert await execute(bench, uuid4()) == "operation_unknown"
    bench.meet(Fate.REFUSED)
    await bench.payments.refund(bench.command(), payment_id, 100)
    bench.meet(Fate.DONE)
    await bench.payments.refund(bench.command(), payment_id, 300)
    await bench.payments.payout(bench.command(), PayoutOrder("p", Money(50, Currency.EUR)))
    for kind in ("authorize", "capture", "refund", "payout"):
        for row in await bench.operations(kind):
            assert await execute(bench, row["id"], str(row["id"])) == "suspense_empty", kind
    [failed] = [row for row in await bench.operations("refund") if row["status"] == "failed"]
    await bench.tell(failed)
    assert await execute(bench, failed["id"], str(failed["id"])) == "suspense_empty"
    assert await execute(bench, failed["id"], "later") == 202
    with pytest.raises(KeyReused):
        await Suspense(bench.database, bench.clock, NOTED.append).release(
            replace(action_command("later"), fingerprint=bytes(32)), failed["id"], reason="another"
        )


async def test_what_else_came_too_late_has_nothing_in_suspense(bench: "Bench") -> None:
    """A void has ended its hold, and what was given back after all is what took it out."""
    voided = await come_late(bench, await bench.authorized(), None, kind="void")
    assert len(await bench.rows("SELECT FROM ledger.posted WHERE operation_id = $1", voided)) == 1
    assert await execute(bench, voided) == "suspense_empty"
    await come_late(bench, await bench.authorized(), 600, kind="capture")
    bench.meet(Fate.DECLINED)
    await bench.work()
    [undo] = await bench.operations("undo_capture")
    await bench.tell(undo, kind="refund")
    assert len(await bench.rows("SELECT FROM ledger.posted WHERE operation_id = $1", undo["id"])) == 1
    assert await execute(bench, undo["id"], "undo") == "suspense_empty"


async def test_the_three_way_oracle_sees_what_people_decided(bench: "Bench", db: "RefpayDb") -> None:
    """The client was told that it failed, the provider did it: a lie until its merchant bears it."""
    payment_id, late = await suspended(bench, 1000, minor=400)
    reference = (await bench.payment(payment_id))["merchant_reference"]
    [refund] = await bench.operations("refund")
    status = dict(zip(list(CallKind)[:3], list(ChargeStatus)[:3], strict=True))
    charges = [
        Charge(
            name, seq, str(key), Operation(one.kind.value), reference, one.amount, one.currency, "411111",
            status[one.kind], f"ref-{key}", 0.0, one.parent,
        )
        for name, provider in bench.providers.items()
        for seq, (key, one) in enumerate(provider.book.items())
    ]  # fmt: skip
    head = (0.0, Operation.REFUND, refund["idempotency_key"], reference, None, 400, "EUR", 502)
    told = [Acknowledgement(*head, Outcome.FAILED, replayed=False)]
    [capture] = await bench.operations("capture")
    key, name = capture["idempotency_key"], str(payment_id)
    asked = (0.0, Operation.CAPTURE, key, reference, name, 1000, "EUR", 200)
    told.append(Acknowledgement(*asked, Outcome.SUCCEEDED, replayed=False))

    async def found() -> list[str]:
        columns = ", ".join(
            f"coalesce({name}::text, '') AS {name}"
            for name in PostingLine._fields
            if name not in ("amount_minor", "posted_at", "misstated")
        )
        rows = await db.rows(
            f"SELECT {columns}, coalesce(amount_minor, 0) AS amount_minor, 0.0::float8 AS posted_at"  # noqa: S608 - names of ours
            " FROM oracle.ledger_lines",
            role="refpay_oracle",
        )
        return [one.kind for one in find_discrepancies([PostingLine(**row) for row in rows], charges, told)]

    assert await found() == [DiscrepancyKind.REFUSED_BUT_CHARGED]
    await execute(bench, late)
    await agree(bench, late)
    assert await execute(bench, late) == 200
    assert await found() == []


@pytest.mark.parametrize("fate", [Fate.DONE, Fate.DECLINED])
async def test_a_late_capture_is_not_released(bench: "Bench", fate: Fate) -> None:
    """The worker has it given back, and asks for that again and again: it is nobody's to decide."""
    payment_id = await bench.authorized()
    late = await come_late(bench, payment_id, 600, kind="capture")
    assert await execute(bench, late) == "suspense_kept"
    bench.meet(fate)
    await bench.work()
    assert await execute(bench, late, "then") == "suspense_kept"
    [undo] = await bench.operations("undo_capture")
    assert await execute(bench, undo["id"], "undo") == "suspense_empty"
    assert await bench.rows("SELECT FROM identity.approval") == []


async def test_a_refund_on_its_way_is_waited_for(bench: "Bench") -> None:
    """Nobody knows whether there is room for both; the same action is answered once that has ended."""
    payment_id, late = await suspended(bench, 1000, minor=700)
    bench.meet(Fate.SILENT_BEFORE)
    assert (await bench.payments.refund(bench.command(), payment_id, 1000)).answer.status == 202
    assert await execute(bench, late) == "operation_in_flight"
    bench.meet(Fate.DONE)
    await bench.work()
    assert await execute(bench, late) == 202
    await agree(bench, late)
    bench.meet(Fate.SILENT_BEFORE)
    await bench.payments.refund(bench.command(), payment_id, 300)
    assert await execute(bench, late) == "operation_in_flight"
    bench.meet(Fate.DONE)
    await bench.work()
    assert await execute(bench, late) == 200
    assert (await books(bench, payment_id))[3] == 700


async def test_more_than_was_captured_is_not_released(bench: "Bench") -> None:
    """A provider gave back more than it took: that is for the provider to make good, whoever agrees."""
    payment_id, late = await suspended(bench, 1000, minor=700)
    for provider in bench.providers.values():
        provider.book = {key: one for key, one in provider.book.items() if one.kind is not CallKind.REFUND}
    assert (await bench.payments.refund(bench.command(), payment_id, 400)).answer.status == 201
    assert await execute(bench, late) == "amount_exceeded"
    assert await books(bench, payment_id) == (600, 700, 0, 400)
    # What is asked for while there is room is not carried out when there is none any more.
    payment_id, late = await suspended(bench, 1000, minor=700)
    await execute(bench, late, "two")
    await agree(bench, late)
    for provider in bench.providers.values():
        provider.book = {key: one for key, one in provider.book.items() if one.kind is not CallKind.REFUND}
    await bench.payments.refund(bench.command(), payment_id, 301)
    assert await execute(bench, late, "two") == "amount_exceeded"


async def test_it_is_released_once_at_whatever_statement_the_process_dies(bench: "Bench") -> None:
    """All or nothing, the approval's use included; the same action goes on where it was cut off."""
    for asking in (True, False):
        for fuse in range(60):
            payment_id, late = await suspended(bench, 1000, minor=400)
            key = f"{asking}-{fuse}"
            if not asking:
                await execute(bench, late, key)
                await agree(bench, late)
            before = await books(bench, payment_id)
            bench.database.fuse, died = fuse, False
            try:
                await execute(bench, late, key)
            except ProcessDied:
                died = True
            bench.database.fuse = None
            assert await books(bench, payment_id) in (before, (before[0] - 400, 0, before[2] + 1, 400))
            if asking:
                await execute(bench, late, key)
                await agree(bench, late)
            assert await execute(bench, late, key) == 200
            assert await books(bench, payment_id) == (before[0] - 400, 0, before[2] + 1, 400)
            used = "SELECT status FROM identity.approval WHERE subject_id = $1"
            assert [row["status"] for row in await bench.rows(used, str(late))] == ["used"]
            if not died:
                break
        else:
            pytest.fail("it never came to its end")


@given(
    late=st.integers(1, 1000),
    refunds=st.lists(st.integers(1, 1000), min_size=1, max_size=6),
    first=st.integers(0, 6),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_refunds_and_a_release_at_once_never_exceed_the_capture(
    bench: "Bench", late: int, refunds: list[int], first: int
) -> None:
    """Whatever is done before or at the same time: the payment counts what the provider gave back."""
    payment_id, operation_id = await suspended(bench, 600, 400, minor=min(late, 600))
    key = uuid4().hex
    await execute(bench, operation_id, key)
    await agree(bench, operation_id)
    sent = [bench.payments.refund(bench.command(), payment_id, minor) for minor in refunds]
    await asyncio.gather(*sent[:first], return_exceptions=True)
    await asyncio.gather(execute(bench, operation_id, key), *sent[first:], return_exceptions=True)
    assert await execute(bench, operation_id, key) == 200
    row = await bench.payment(payment_id)
    [given_back] = await bench.rows(
        "SELECT array_agg(provider_key) AS keys FROM payments.operation WHERE payment_id = $1", payment_id
    )
    effects = [
        one for p in bench.providers.values() for key, one in p.book.items() if key in given_back["keys"]
    ]
    assert sum(one.amount for one in effects if one.kind is CallKind.REFUND) == row["refunded_minor"]
    assert (row["refund_reserved_minor"], row["refunded_minor"] <= 1000) == (0, True)


async def test_over_http_by_two_persons(
    api: "Client", db: "RefpayDb", settings: "Settings", make_token: Any
) -> None:
    """Refused, approved by one of two at once and never by whoever asked, done, replayed to the byte."""
    payment = await api.captured()
    [capture] = await db.rows("SELECT id FROM payments.operation WHERE kind = 'capture'")
    await fail_and_come_late(api, db, payment)
    [late] = await db.rows("SELECT id FROM payments.operation WHERE kind = 'refund'")
    path = f"/v1/operations/suspense/{late['id']}/release"

    async def send(key: str, reason: str = "case 7") -> "Answer":
        token = make_token("everybody", {"operations:repair"})
        return await api.post(path, {"reason": reason}, by=None, key=key, Authorization=f"Bearer {token}")

    for unknown in (str(uuid4()), "no-uuid"):
        refused = await api.post(f"/v1/operations/suspense/{unknown}/release", {"reason": "x"}, by="operator")
        assert (refused.status, refused.body["code"]) == (404, "operation_unknown")
    refused = await api.post(
        path.replace(str(late["id"]), str(capture["id"])), {"reason": "x"}, by="operator"
    )
    assert (refused.status, refused.body["code"]) == (409, "suspense_empty")
    asked = await send("one")
    assert (asked.status, asked.body["awaits"]) == (202, "approval")
    assert (await send("one")).raw == asked.raw
    decision = f"/v1/approvals/{asked.body['approval_id']}/approve"

    async def approve(name: str) -> "Answer":
        token = make_token(name, {"approvals:decide"})
        return await api.post(decision, {"reason": "seen"}, by=None, Authorization=f"Bearer {token}")

    assert (await approve("everybody")).body["code"] == "second_person_needed"
    both = await asyncio.gather(approve("approver"), approve("checker"))
    assert sorted(one.body.get("code", one.body["status"]) for one in both) == [
        "approval_refused",
        "approved",
    ]
    done = await send("one")
    assert (done.status, done.body["refunded_minor"], done.body["id"]) == (200, 400, payment["id"])
    again = await send("one")
    assert (again.replayed, again.status, again.raw) == (True, 200, done.raw)
    assert (await send("one", "another")).body["code"] == "idempotency_key_reused"
    assert (await send("two")).body["code"] == "suspense_released"
    shown = (await api.get(f"/v1/payments/{payment['id']}")).body
    assert (shown["refunded_minor"], shown["operations"][-1]["kind"]) == (400, "suspense_release")
    over = await api.post(f"/v1/payments/{payment['id']}/refunds", {"amount_minor": 601})
    assert over.body["code"] == "amount_exceeded"
    found = await api.expect_audited(db)
    assert found >= {
        "suspense_release.begun",
        "suspense_release.succeeded",
        "payment.changed",
        "approval.used",
    }
    witness = ReceiptReader(settings.acknowledgements_folder)
    async with asyncio.timeout(30):
        while "suspense_release" not in [one.kind for one in witness.read(100)]:  # noqa: ASYNC110 - a file of the API's
            await asyncio.sleep(0.05)
    database = await Database.connect(settings.database, most_connections=2)
    try:
        checks = Checks(database, clock=AnHourOn(), outcome_deadline=timedelta(seconds=5))
        assert (await checks.run_once()).at_risk == []
    finally:
        await database.close()


async def fail_and_come_late(api: "Client", db: "RefpayDb", payment: Any) -> None:
    """Fail a refund as a provider's refusal does, and have the provider tell later that it was done."""
    # The acquirer refuses what it does not know, and so knows nothing of this one.
    await db.tamper("UPDATE payments.operation SET provider_reference = 'nothing' WHERE kind = 'capture'")
    path = f"/v1/payments/{payment['id']}/refunds"
    assert (await api.post(path, {"amount_minor": 400})).status == 502
    [row] = await db.rows("SELECT provider_key FROM payments.operation WHERE kind = 'refund'")
    told = {
        "event": str(uuid4()), "type": "operation", "key": str(row["provider_key"]), "kind": "refund",
        "status": "done", "id": "late", "decline_code": None, "amount": 400, "currency": "EUR",
    }  # fmt: skip
    assert (await tell(api, payment["provider"], told)).status == 204
