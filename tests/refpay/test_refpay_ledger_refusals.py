"""The database itself refuses a wrong ledger, whoever asks: the service and the owner alike."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import asyncpg
import pytest

if TYPE_CHECKING:
    from tests.refpay.conftest import Book

AT = datetime(2026, 1, 1, tzinfo=UTC)
ROLES = pytest.mark.parametrize("role", ["refpay_app", "refpay_owner"])
BALANCED = [("a:x", "EUR", 5), ("b:x", "EUR", -5)]
ENTRY = """
    INSERT INTO ledger.entry (id, kind, operation_id, payment_id, posted_at)
    VALUES ($1, 'posting', $2, $3, $4)
"""
LINES = (
    "INSERT INTO ledger.line (entry_id, account, currency, amount_minor)"
    " SELECT $1, * FROM unnest($2::text[], $3::text[], $4::bigint[])"
)


async def post(connection: Any, *batches: list[tuple[str, str, int]], entry_id: UUID | None = None) -> UUID:
    """Write an entry in one transaction, each batch of lines as one statement."""
    entry_id = entry_id or uuid4()
    async with connection.transaction():
        await connection.execute(ENTRY, entry_id, uuid4(), uuid4(), AT)
        for batch in batches:
            await connection.execute(LINES, entry_id, *([line[i] for line in batch] for i in range(3)))
    return entry_id


@ROLES
async def test_a_balanced_entry_is_taken(shared_book: "Book", role: str) -> None:
    """The positive twin: two currencies in one entry, each of them zero, at the edge of 63 bits."""
    most = 2**63 - 1
    connection = await shared_book.connect(role)
    try:
        await post(connection, [*BALANCED, ("a:x", "JPY", most), ("b:x", "JPY", -most)])
    finally:
        await connection.close()


@ROLES
@pytest.mark.parametrize(
    ("batches", "named"),
    [
        ([], "has 0 lines"),
        ([[("a:x", "EUR", 5)]], "unbalanced"),
        ([[("a:x", "EUR", 5), ("b:x", "EUR", -4)]], "unbalanced"),
        ([[("a:x", "EUR", 5), ("b:x", "USD", -5)]], "unbalanced"),
        ([[("a:x", "EUR", 100), ("b:x", "USD", -100), ("c:x", "EUR", -100)]], "unbalanced"),
        # Balanced in the end, but written leg by leg: nothing may ever read the half of it.
        ([[("a:x", "EUR", 5)], [("b:x", "EUR", -5)]], "unbalanced"),
        ([[("a:x", "EUR", 5), ("a:x", "EUR", -5)]], "duplicate key"),
        ([[("a:x", "EUR", 0), ("b:x", "EUR", 0)]], "amount_minor"),
        ([[("no account", "EUR", 5), ("b:x", "EUR", -5)]], "account"),
    ],
)
async def test_a_wrong_entry_is_refused(
    shared_book: "Book", role: str, batches: list[list[tuple[str, str, int]]], named: str
) -> None:
    """Empty, one-legged, unbalanced, unbalanced per currency, cancelling itself out, zero."""
    entry_id = uuid4()
    connection = await shared_book.connect(role)
    try:
        with pytest.raises(asyncpg.IntegrityConstraintViolationError, match=named):
            await post(connection, *batches, entry_id=entry_id)
        assert await connection.fetch("SELECT 1 FROM ledger.entry WHERE id = $1", entry_id) == []
    finally:
        await connection.close()


@ROLES
async def test_an_entry_is_closed_when_its_transaction_ends(shared_book: "Book", role: str) -> None:
    """Balanced lines cannot be added later; that would rewrite history in disguise."""
    connection = await shared_book.connect(role)
    try:
        entry_id = await post(connection, BALANCED)
        with pytest.raises(asyncpg.RestrictViolationError, match="closed"):
            await connection.execute(LINES, entry_id, ["c:x", "d:x"], ["EUR", "EUR"], [1, -1])
        # Nor by claiming to be the same transaction.
        with pytest.raises((asyncpg.RestrictViolationError, asyncpg.InsufficientPrivilegeError)):
            await connection.execute("UPDATE ledger.entry SET written_in = pg_current_xact_id()")
    finally:
        await connection.close()


@ROLES
async def test_an_operation_is_posted_once(shared_book: "Book", role: str) -> None:
    """A second entry for it is refused."""
    connection = await shared_book.connect(role)
    operation = uuid4()
    try:
        for expected in (None, asyncpg.UniqueViolationError):
            entry_id = uuid4()
            transaction = connection.transaction()
            await transaction.start()
            if expected is None:
                await connection.execute(ENTRY, entry_id, operation, uuid4(), AT)
                await connection.execute(LINES, entry_id, ["a:x", "b:x"], ["EUR", "EUR"], [1, -1])
                await transaction.commit()
            else:
                with pytest.raises(expected):
                    await connection.execute(ENTRY, entry_id, operation, uuid4(), AT)
                await transaction.rollback()
    finally:
        await connection.close()


@pytest.mark.parametrize("table", ["ledger.entry", "ledger.line", "audit.event"])
@pytest.mark.parametrize(
    "statement",
    ["UPDATE {table} SET {column} = {column}", "DELETE FROM {table}", "TRUNCATE {table} CASCADE"],
)
async def test_history_is_not_changed(shared_book: "Book", table: str, statement: str) -> None:
    """The service lacks the privilege; the owner has it and meets the trigger, an empty table included."""
    column = {"ledger.entry": "kind", "ledger.line": "account", "audit.event": "actor"}[table]
    text = statement.format(table=table, column=column)
    for role, refusal in (
        ("refpay_app", asyncpg.InsufficientPrivilegeError),
        ("refpay_owner", asyncpg.RestrictViolationError),
        ("postgres", asyncpg.RestrictViolationError),
    ):
        connection = await shared_book.connect(role)
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
        "ALTER TABLE ledger.line DISABLE TRIGGER ALL",
    ],
)
async def test_the_service_may_do_no_more_than_it_does(shared_book: "Book", statement: str) -> None:
    """Keys and amounts are not updatable, nothing is deletable, the oracle's views are not its own."""
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await shared_book.rows(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM payments.payment",
        "SELECT * FROM ledger.line",
        "INSERT INTO ledger.entry DEFAULT VALUES",
    ],
)
async def test_the_oracle_sees_its_views_alone(shared_book: "Book", statement: str) -> None:
    """Read-only, and only what it needs."""
    assert await shared_book.rows("SELECT * FROM oracle.unresolved_operations", role="refpay_oracle") == []
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await shared_book.rows(statement, role="refpay_oracle")
