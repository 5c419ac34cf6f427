"""Which reported movements are given back: those beyond ours, and nothing else that a report may show."""

import asyncio
import json
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from refpay.identity.approvals import Actor, decide
from refpay.identity.principals import Principal
from refpay.operations.duplicates import Duplicates
from refpay.payments.claims import Command
from refpay.payments.intents import Deadlines
from refpay.providers.port import Answer, Call, CallKind, ProviderResult
from refpay.reconciliation.operator_actions import insert_repair, read_duplicates

from .bench import Op, Row, at, capture

if TYPE_CHECKING:
    from .bench import Bench

SUMS = "SELECT class, count(*) AS breaks FROM reconciliation.break WHERE closed_at IS NULL GROUP BY class"
WAITING = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
NAMELESS = (
    "UPDATE payments.operation SET status = 'succeeded', settled_at = $2, settled_by = 'api' WHERE id = $1"
)
PROMISED = {"north": Deadlines(*[timedelta(seconds=5)] * 3)}


@dataclass
class Recorded:
    """A provider that does everything and remembers it."""

    name: str = "north"
    calls: list[Call] = field(default_factory=list)

    async def perform(self, call: Call) -> Answer:
        """Do it."""
        self.calls.append(call)
        return Answer(ProviderResult.DONE, provider_reference="ref_1")


async def execute(bench: "Bench", key: str) -> list[Call]:
    """Carry the action out for north; return what was sent."""
    north = Recorded()
    duplicates = Duplicates(bench.database, {"north": north}, bench.clock, PROMISED)
    command = Command(Principal("operator", frozenset()), key, bytes(32), "correlation", "live")
    reply = await duplicates.refund(command, "north", reason="a test")
    if reply.answer.status == 202:
        await _approve(bench, UUID(json.loads(reply.answer.body)["approval_id"]))
        reply = await duplicates.refund(command, "north", reason="a test")
    assert reply.answer.status == 200
    return north.calls


async def _approve(bench: "Bench", approval_id: UUID) -> None:
    second = Actor("approver", "correlation", bench.clock.now())
    async with bench.database.transaction() as connection:
        await decide(connection, approval_id, second, agreed=True, reason="a test")


def extra(op: Op, name: str = "extra", **changed: Any) -> Row:
    """Return the line of another movement under the key of a charge."""
    return op.row(movement=f"mov_{name}_{op.key.hex[-12:]}", **changed)


async def test_only_what_is_beyond_ours_is_given_back(bench: "Bench") -> None:
    """Every case at once; of each, which movement is ours and how it is reported decides."""
    once, doubled, tripled, reversed_, stated, both, unreported, mixed, wrong, renamed, closed, borrowed = (
        capture(amount=1000 + number) for number in range(12)
    )
    refunded = Op("north", 500, "EUR", at(4.5), at(5), kind="refund")
    failed, unresolved, nameless, stranger = capture(), capture(), capture(), capture()
    south = capture("south")
    succeeded = [once, doubled, tripled, reversed_, stated, both, unreported, mixed, wrong, closed]
    succeeded += [renamed, borrowed]
    await bench.begin(*succeeded, refunded, failed, unresolved, nameless, south)
    await bench.settle(*succeeded, refunded, south)
    await bench.settle(failed, status="failed")
    await bench.db.rows(NAMELESS, nameless.id, nameless.settled)
    rows = [
        once.row(),
        doubled.row(),
        extra(doubled),
        tripled.row(),
        extra(tripled, "one"),
        extra(tripled, "two"),
        extra(reversed_),
        reversed_.row(),
        stated.row(),
        stated.row(),
        both.row(),
        extra(both),
        extra(both),
        extra(unreported, "one"),
        extra(unreported, "two"),
        mixed.row(),
        extra(mixed, kind="refund", fee=0),
        wrong.row(amount=7),
        extra(renamed, amount=7),
        closed.row(),
        extra(closed),
        borrowed.row(),
        borrowed.row(movement=once.movement),
        refunded.row(),
        extra(refunded),
        extra(refunded, "charge", kind="capture"),
        failed.row(),
        extra(failed),
        unresolved.row(),
        extra(unresolved),
        nameless.row(),
        extra(nameless),
        stranger.row(),
        extra(stranger),
        doubled.row(key=str(uuid4()), movement="mov_nobody_1"),
    ]
    bench.north.publish(0, rows)
    bench.acquirers["south"].publish(0, [south.row(), extra(south)])
    await bench.round(21)
    bench.north.publish(0, [row for row in rows if row != extra(closed)])
    await bench.round(22)
    # Each of the cases is a difference that reconciliation knows, or it would prove nothing here.
    shown = {row["class"]: row["breaks"] for row in await bench.db.rows(SUMS)}
    assert shown == {"duplicate": 17, "amount": 2, "missing_ours": 3, "status": 2}

    sent = await execute(bench, "first")
    wanted = {
        extra(op, name).movement: op.amount
        for op, name in (
            (doubled, "extra"),
            (tripled, "one"),
            (tripled, "two"),
            (reversed_, "extra"),
            (both, "extra"),
            (unreported, "two"),
        )
    }
    assert {call.parent: call.money.amount_minor for call in sent if call.money} == wanted
    assert len(sent) == len(wanted)
    assert {call.kind for call in sent} == {CallKind.REFUND}
    ours = {op.movement for op in (*succeeded, refunded, failed, unresolved, nameless, south)}
    assert not ours & {call.parent for call in sent}

    # What is not yet reported as refunded is sent again, under the keys that it has.
    again = await execute(bench, "second")
    assert {(call.parent, call.key) for call in again} == {(call.parent, call.key) for call in sent}


async def test_more_than_one_action_takes_is_taken_by_the_next(bench: "Bench") -> None:
    """The action answers in time: a hundred at once, those that no action has planned yet first."""
    ops = [capture() for _ in range(130)]
    await bench.have(*ops)
    bench.north.publish(0, [row for op in ops for row in (op.row(), extra(op))])
    await bench.round(21)
    first, second = await execute(bench, "first"), await execute(bench, "second")
    assert (len(first), len(second)) == (100, 100)
    assert {call.parent for call in (*first, *second)} == {extra(op).movement for op in ops}
    assert len({call.key for call in (*first, *second)}) == 130


async def test_actions_take_turns(bench: "Bench") -> None:
    """Two at once agree on one key: the second one reads what the first one has planned."""
    op = capture()
    await bench.have(op)
    bench.north.publish(0, [op.row(), extra(op)])
    await bench.round(21)
    now = bench.clock.now()
    async with bench.database.transaction() as connection:
        (planned,) = await read_duplicates(connection, "north", limit=10, now=now)
        await insert_repair(connection, "north", planned, now=now)
        executing = asyncio.create_task(execute(bench, "second"))
        async with asyncio.timeout(30):
            while not executing.done() and not await bench.db.rows(WAITING):  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.01)
        assert not executing.done()
    assert [(call.parent, call.key) for call in await executing] == [(planned.movement, planned.repair_key)]
