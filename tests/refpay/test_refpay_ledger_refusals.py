"""The database itself refuses a wrong ledger, whoever asks: the service and the owner alike."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import asyncpg
import pytest
import pytest_asyncio

from refpay.ids import mint_id

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.refpay.conftest import RefpayDb

AT = datetime(2026, 1, 1, tzinfo=UTC)
ROLES = pytest.mark.parametrize("role", ["refpay_app", "refpay_owner"])
Lines = list[tuple[str | None, str | None, int | None]]
BALANCED: Lines = [("a:x", "EUR", 5), ("b:x", "EUR", -5)]
MOST = 2**63 - 1
ENTRY = """
    INSERT INTO ledger.entry (
        id, kind, operation_id, payment_id, posted_at, accounts, currencies, amounts_minor)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session", autouse=True)
async def uncaused(shared_db: "RefpayDb") -> "AsyncIterator[None]":
    """Take entries without a cause, to see what else is refused."""
    await shared_db.allow_uncaused()
    yield
    await shared_db.allow_uncaused(allowed=False)


async def post(
    connection: Any,
    lines: Lines,
    *,
    entry_id: UUID | None = None,
    kind: str = "posting",
    operation_id: UUID | None = None,
    payment_id: UUID | None = None,
    posted_at: datetime = AT,
) -> UUID:
    """Write an entry."""
    entry_id = entry_id or mint_id(posted_at)
    columns = [[line[i] for line in lines] for i in range(3)]
    ids = (operation_id or uuid4(), payment_id if kind == "payout" else payment_id or uuid4())
    await connection.execute(ENTRY, entry_id, kind, *ids, posted_at, *columns)
    return entry_id


@ROLES
@pytest.mark.parametrize(
    "lines",
    [
        BALANCED,
        [*BALANCED, ("a:x", "JPY", MOST), ("b:x", "JPY", -MOST)],
        # No sum on the way fits into 64 bits.
        [("a:x", "JPY", MOST), ("b:x", "JPY", MOST), ("c:x", "JPY", -MOST), ("d:x", "JPY", -MOST)],
        [(f"a:{n}", "EUR", 1 if n % 2 else -1) for n in range(64)],
    ],
)
async def test_a_balanced_entry_is_taken(shared_db: "RefpayDb", role: str, lines: Lines) -> None:
    """The positive twin: two currencies in one entry, each of them zero, at the edge of 63 bits."""
    connection = await shared_db.connect(role)
    try:
        entry_id = await post(connection, lines)
        written = await connection.fetch(
            "SELECT account, currency, amount_minor FROM ledger.line WHERE entry_id = $1", entry_id
        )
        assert [tuple(row) for row in written] == lines
    finally:
        await connection.close()


@ROLES
@pytest.mark.parametrize(
    ("lines", "named"),
    [
        ([], "has 0 lines"),
        ([("a:x", "EUR", 5)], "has 1 lines"),
        ([("a:x", "EUR", 5), ("b:x", "EUR", -4)], "is unbalanced"),
        ([("a:x", "EUR", 5), ("b:x", "USD", -5)], "is unbalanced"),
        ([("a:x", "EUR", 100), ("b:x", "USD", -100), ("c:x", "EUR", -100)], "is unbalanced"),
        ([("a:x", "EUR", 5), ("a:x", "EUR", -5)], "lines, allowed|wrong account|twice"),
        ([("a:x", "EUR", 0), ("b:x", "EUR", 0)], "lines, allowed|wrong account|twice"),
        ([("no account", "EUR", 5), ("b:x", "EUR", -5)], "lines, allowed|wrong account|twice"),
        ([("a:x", "eur", 5), ("b:x", "eur", -5)], "lines, allowed|wrong account|twice"),
        ([(None, "EUR", 5), ("b:x", "EUR", -5)], "lines, allowed|wrong account|twice"),
        ([("a:x", None, 5), ("b:x", None, -5)], "wrong account"),
        ([*BALANCED, ("c:x", "EUR", None)], "wrong account"),
        ([(f"a:{n}", "EUR", 1 if n % 2 else -1) for n in range(66)], "lines, allowed|wrong account|twice"),
    ],
)
async def test_a_wrong_entry_is_refused(shared_db: "RefpayDb", role: str, lines: Lines, named: str) -> None:
    """Empty, one-legged, unbalanced, unbalanced per currency, cancelling itself out, zero, no text at all."""
    entry_id = mint_id(AT)
    connection = await shared_db.connect(role)
    try:
        with pytest.raises(asyncpg.CheckViolationError, match=named):
            await post(connection, lines, entry_id=entry_id)
        assert await connection.fetch("SELECT 1 FROM ledger.entry WHERE id = $1", entry_id) == []
    finally:
        await connection.close()


@pytest.mark.parametrize(
    "columns",
    [
        ("{a:x,b:x}", "{EUR}", "{5,-5}"),
        ("{a:x}", "{EUR,EUR}", "{5,-5}"),
        ("{a:x,b:x,c:x}", "{EUR,EUR,EUR}", "{5,-5}"),
        ("{}", "{}", "{5,-5}"),
        ("{{a:x,b:x}}", "{{EUR,EUR}}", "{{5,-5}}"),
        ("[0:1]={a:x,b:x}", "[0:1]={EUR,EUR}", "[0:1]={5,-5}"),
        ("[0:1]={a:x,b:x}", "{EUR,EUR}", "{5,-5}"),
    ],
)
async def test_the_parts_of_a_line_stand_at_one_place(
    shared_db: "RefpayDb", columns: tuple[str, ...]
) -> None:
    """Arrays of other lengths, dimensions or beginnings are no lines."""
    connection = await shared_db.connect()
    try:
        with pytest.raises(asyncpg.CheckViolationError, match=r"lines, allowed|wrong account"):
            await connection.execute(
                "INSERT INTO ledger.entry (id, kind, operation_id, payment_id, posted_at, accounts,"
                " currencies, amounts_minor) VALUES ($1, 'posting', $2, $2, $3, $4::text::text[],"
                " $5::text::text[], $6::text::bigint[])",
                mint_id(AT),
                uuid4(),
                AT,
                *columns,
            )
    finally:
        await connection.close()


@ROLES
@pytest.mark.parametrize(
    ("entry_id", "kind", "named"),
    [
        (uuid4(), "posting", "not dated"),
        (mint_id(AT + timedelta(seconds=2)), "posting", "not dated"),
        (mint_id(AT - timedelta(days=40)), "posting", "not dated"),
        (mint_id(AT), "gift", "of no kind"),
    ],
)
async def test_an_entry_says_what_it_is_and_when(
    shared_db: "RefpayDb", role: str, entry_id: UUID, kind: str, named: str
) -> None:
    """Its id carries its time, which is what its month goes by; a kind is one of few."""
    connection = await shared_db.connect(role)
    try:
        with pytest.raises(asyncpg.CheckViolationError, match=named):
            await post(connection, BALANCED, entry_id=entry_id, kind=kind)
    finally:
        await connection.close()


@pytest.mark.parametrize(("kind", "taken"), [("payout", True), ("hold", False), ("posting", False)])
async def test_only_what_is_no_payments_names_none(shared_db: "RefpayDb", kind: str, taken: bool) -> None:
    """A payout belongs to no payment; a hold or a posting without one is nobody's."""
    connection = await shared_db.connect()
    arguments = (mint_id(AT), kind, uuid4(), None, AT, ["a:x", "b:x"], ["EUR", "EUR"], [1, -1])
    try:
        if taken:
            await connection.execute(ENTRY, *arguments)
        else:
            with pytest.raises(asyncpg.CheckViolationError, match="names no payment"):
                await connection.execute(ENTRY, *arguments)
    finally:
        await connection.close()


@ROLES
async def test_an_entry_is_closed_once_it_is_written(shared_db: "RefpayDb", role: str) -> None:
    """Its lines are its own row, which nobody changes, in its own transaction either."""
    connection = await shared_db.connect(role)
    try:
        for statement in (
            "UPDATE ledger.entry SET amounts_minor = amounts_minor || 1::bigint",
            "UPDATE ledger.entry SET written_in = pg_current_xact_id()",
            "INSERT INTO ledger.line (entry_id) SELECT id FROM ledger.entry",
        ):
            transaction = connection.transaction()
            await transaction.start()
            await post(connection, BALANCED)
            with pytest.raises(
                asyncpg.PostgresError, match=r"append-only|permission|cannot insert into view"
            ):
                await connection.execute(statement)
            await transaction.rollback()
    finally:
        await connection.close()


@ROLES
async def test_an_operation_is_posted_once(shared_db: "RefpayDb", role: str) -> None:
    """A second entry for it is refused, in another month too, and with it all of its transaction."""
    connection = await shared_db.connect(role)
    operation_id = uuid4()
    try:
        await post(connection, BALANCED, operation_id=operation_id)
        for later in (timedelta(0), timedelta(days=400)):
            with pytest.raises(asyncpg.UniqueViolationError):
                await post(connection, BALANCED, operation_id=operation_id, posted_at=AT + later)
    finally:
        await connection.close()


async def test_the_service_cannot_say_who_wrote_it(shared_db: "RefpayDb") -> None:
    """The transaction's number is the database's word; the owner's word is overwritten."""
    for role in ("refpay_app", "refpay_owner"):
        connection = await shared_db.connect(role)
        entry_id = mint_id(AT)
        statement = (
            "INSERT INTO ledger.entry (id, kind, operation_id, payment_id, posted_at, accounts, currencies,"
            " amounts_minor, written_in)"
            " VALUES ($1, 'posting', $2, $2, $3, '{a:x,b:x}', '{EUR,EUR}', '{1,-1}', '3')"
        )
        try:
            if role == "refpay_app":
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.execute(statement, entry_id, uuid4(), AT)
            else:
                await connection.execute(statement, entry_id, uuid4(), AT)
                written = "SELECT written_in > '3' FROM ledger.entry WHERE id = $1"
                assert await connection.fetchval(written, entry_id)
        finally:
            await connection.close()


@pytest.mark.parametrize(
    "table",
    ["ledger.entry", "ledger.entry_default", "ledger.posted", "ledger.seal", "audit.event"],
)
@pytest.mark.parametrize(
    "statement",
    ["UPDATE {table} SET {column} = {column}", "DELETE FROM {table}", "TRUNCATE {table} CASCADE"],
)
async def test_history_is_not_changed(shared_db: "RefpayDb", table: str, statement: str) -> None:
    """The service lacks the privilege; the owner has it and meets the trigger, an empty table included."""
    columns = {"ledger.posted": "entry_id", "ledger.seal": "at", "audit.event": "actor"}
    column = columns.get(table, "kind")
    text = statement.format(table=table, column=column)
    for role, refusal in (
        ("refpay_app", asyncpg.InsufficientPrivilegeError),
        ("refpay_owner", asyncpg.RestrictViolationError),
        ("postgres", asyncpg.RestrictViolationError),
    ):
        connection = await shared_db.connect(role)
        try:
            await connection.execute("SET application_name = 'tampering'")
            if role == "postgres":
                # Replication mode skips ordinary triggers, not these.
                await connection.execute("SET session_replication_role = replica")
            with pytest.raises(refusal):
                await connection.execute(text)
        finally:
            await connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM payments.payment",
        "DELETE FROM payments.operation",
        "DELETE FROM payments.idempotency_key",
        "UPDATE payments.operation SET provider_key = gen_random_uuid()",
        "UPDATE payments.operation SET amount_minor = 1",
        "UPDATE payments.payment SET amount_minor = 1",
        "UPDATE payments.idempotency_key SET fingerprint = ''",
        "SELECT * FROM oracle.ledger_lines",
        "CREATE TABLE public.own (id int)",
        "ALTER TABLE ledger.entry DISABLE TRIGGER ALL",
        "ALTER TABLE ledger.entry DROP CONSTRAINT entry_holds",
        "SET session_replication_role = replica",
        "INSERT INTO ledger.posted VALUES (gen_random_uuid(), gen_random_uuid())",
        "INSERT INTO ledger.seal SELECT * FROM ledger.seal",
        "INSERT INTO ledger.balance VALUES ('a:x', 'EUR', 1, 1)",
        "UPDATE ledger.balance SET balance_minor = 0",
        "DELETE FROM ledger.balance",
        "INSERT INTO ledger.archive SELECT * FROM ledger.archive",
        "UPDATE ledger.archive SET restored_at = NULL",
        "SELECT * FROM ledger.entry_default",
        "INSERT INTO ledger.entry_default SELECT * FROM ledger.entry",
        "SELECT ledger.close_to_change('ledger.entry')",
        "CREATE TABLE ledger.own (id int)",
    ],
)
async def test_the_service_may_do_no_more_than_it_does(shared_db: "RefpayDb", statement: str) -> None:
    """Keys and amounts are not updatable, nothing is deletable, the oracle's views are not its own."""
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await shared_db.rows(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM payments.payment",
        "SELECT * FROM ledger.line",
        "INSERT INTO ledger.entry DEFAULT VALUES",
    ],
)
async def test_the_oracle_sees_its_views_alone(shared_db: "RefpayDb", statement: str) -> None:
    """Read-only, and only what it needs."""
    assert await shared_db.rows("SELECT * FROM oracle.unresolved_operations", role="refpay_oracle") == []
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await shared_db.rows(statement, role="refpay_oracle")
