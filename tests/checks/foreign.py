"""A ledger of somebody else: other tables, other columns, names that need quotes, amounts as decimals."""

import json
from typing import Any, Final, TypeAlias

import asyncpg

from moneypath.checks.plan import CheckPlan
from moneypath.checks.ready import statement_of
from moneypath.path.sql_checks import AmountUnit, SqlCheck
from moneypath.polling import poll_until

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

EXPONENTS: Final = {"EUR": 2, "USD": 2, "JPY": 0, "KWD": 3}
LEDGER: Final = """
DROP SCHEMA IF EXISTS "Books & Co" CASCADE;
CREATE SCHEMA "Books & Co";
SET search_path = "Books & Co";
CREATE TYPE state AS ENUM ('HELD', 'APPLIED', 'VOID');
CREATE TABLE "Line ""Items"" A" (txn uuid, "order" char(3), delta bigint, "when" timestamptz);
CREATE TABLE wallet (holder text, total numeric, unit text);
CREATE TABLE transfer (
    id uuid DEFAULT gen_random_uuid(), src text, dst text, sum numeric, unit text, state state,
    made timestamp);
CREATE TABLE charge (shop text, ref text, gross numeric, unit text, taken timestamptz, state text);
CREATE TABLE booking (
    order_ref text, leg text, debit_credit char(1), amount integer, unit text, at timestamptz);

INSERT INTO "Line ""Items"" A"
SELECT md5(entry::text)::uuid, unit, sign * entry * 100, now() - interval '2 hours'
FROM generate_series(1, 20) AS entry, unnest(ARRAY['EUR', 'JPY']) AS unit, unnest(ARRAY[1, -1]) AS sign;
INSERT INTO transfer (src, dst, sum, unit, state, made) VALUES
    ('@world', '@ann', 50.00, 'EUR', 'APPLIED', now() - interval '2 hours'),
    ('@world', '@ann', 20.50, 'USD', 'APPLIED', now() - interval '2 hours'),
    ('@ann', '@bob', 12.25, 'EUR', 'APPLIED', now() - interval '1 hour'),
    ('@ann', '@bob', 3.00, 'EUR', 'HELD', now() - interval '1 minute'),
    ('@ann', '@bob', 99.00, 'EUR', 'VOID', now() - interval '1 hour');
INSERT INTO wallet VALUES
    ('@world', -50, 'EUR'), ('@world', -20.5, 'USD'), ('@ann', 37.75, 'EUR'), ('@ann', 20.5, 'USD'),
    ('@bob', 12.25, 'EUR'), ('@new', 0, 'EUR');
INSERT INTO charge VALUES
    ('one', 'a-1', 10.00, 'EUR', now() - interval '1 hour', 'captured'),
    ('one', 'a-2', 7, 'JPY', now() - interval '1 hour', 'captured'),
    ('two', 'a-1', 1.125, 'KWD', now() - interval '1 hour', 'captured'),
    ('two', 'a-3', 5, 'EUR', now() - interval '1 hour', 'declined'),
    ('two', 'a-4', 5, 'EUR', now() - interval '1 second', 'captured');
INSERT INTO booking
SELECT shop || '/' || ref, leg, CASE leg WHEN 'receivable' THEN 'D' ELSE 'C' END,
       gross * (CASE unit WHEN 'EUR' THEN 100 WHEN 'KWD' THEN 1000 ELSE 1 END), unit, taken
FROM charge, unnest(ARRAY['receivable', 'payable']) AS leg
WHERE state = 'captured' AND taken < now() - interval '1 minute';
CREATE VIEW captured AS SELECT *, shop || '/' || ref AS order_ref FROM charge WHERE state = 'captured';
DO $$ BEGIN CREATE ROLE auditor LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
GRANT USAGE ON SCHEMA "Books & Co" TO auditor;
GRANT SELECT ON ALL TABLES IN SCHEMA "Books & Co" TO auditor;
ALTER ROLE auditor SET search_path = "Books & Co";
"""

BOOKS: Final = "Books & Co"
ZERO_SUM: Final = {
    "kind": "zero_sum",
    "table": [BOOKS, 'Line "Items" A'],
    "entry": "txn",
    "currency": "order",
    "amount": "delta",
    "at": "when",
}
ZERO_SUM_BY_SIDE: Final = {
    "kind": "zero_sum",
    "table": [BOOKS, "booking"],
    "entry": "order_ref",
    "currency": "unit",
    "amount": "amount",
    "side": {"column": "debit_credit", "debit": ["D"], "credit": ["C"]},
}
BALANCE_IS_SUM: Final = {
    "kind": "balance_is_sum",
    "balances": {"table": [BOOKS, "wallet"], "account": "holder", "balance": "total", "currency": "unit"},
    "movements": {
        "table": [BOOKS, "transfer"],
        "source": "src",
        "destination": "dst",
        "amount": "sum",
        "currency": "unit",
        "at": "made",
        "where": {"state": ["APPLIED"]},
    },
}
_CAPTURE: Final = {
    "table": "captured",
    "reference": "order_ref",
    "amount": "gross",
    "currency": "unit",
    "at": "taken",
}
CAPTURE_WITHOUT_POSTING: Final = {
    "kind": "capture_without_posting",
    "captures": _CAPTURE,
    "postings": {"table": [BOOKS, "booking"], "reference": "order_ref", "where": {"leg": ["receivable"]}},
    "deadline_seconds": 60,
}
POSTING_WITHOUT_CAPTURE: Final = {
    "kind": "posting_without_capture",
    "postings": {
        "table": "booking",
        "reference": "order_ref",
        "amount": "amount",
        "currency": "unit",
        "at": "at",
        "unless": {"leg": ["payable"]},
    },
    "captures": {"table": "captured", "reference": ["order_ref"]},
    "deadline_seconds": 60,
}
DUPLICATE: Final = {
    "kind": "duplicate_reference",
    "table": "charge",
    "reference": ["shop", "ref"],
    "amount": "gross",
    "currency": "unit",
    "at": "taken",
    "where": {"state": ["captured"]},
}
NEGATIVE: Final = {
    "kind": "negative_balance",
    "table": "wallet",
    "account": "holder",
    "balance": "total",
    "currency": "unit",
    "unless": {"holder": ["@world"]},
}
STUCK: Final = {
    "kind": "stuck_in_flight",
    "table": "transfer",
    "id": "id",
    "amount": "sum",
    "currency": "unit",
    "at": "made",
    "where": {"state": ["HELD"]},
    "deadline_seconds": 900,
}


def ready_plan(ready: dict[str, Any], amount: str = "major", **settings: Any) -> CheckPlan:
    """Return the plan of a ready check as a declaration would."""
    document = {"dsn_file": "dsn", "ready": ready, "amount": amount}
    sql = SqlCheck.model_validate_json(json.dumps(document), strict=True)
    assert sql.ready is not None
    return plan_of(statement_of(sql.ready), amount, **settings)


def plan_of(
    statement: str, amount: str = "minor", *, time_limit_seconds: float = 30.0, rows_max: int = 1_000
) -> CheckPlan:
    """Return the plan of a statement."""
    return CheckPlan(
        id="a_check",
        title="A check",
        statement=statement,
        amount=AmountUnit(amount),
        every_seconds=60.0,
        time_limit_seconds=time_limit_seconds,
        rows_max=rows_max,
    )


async def until(owner: Connection, question: str, *arguments: object) -> None:
    """Ask the database until it answers true."""

    async def ask() -> bool:
        return bool(await owner.fetchval(question, *arguments))

    assert await poll_until(ask, bool, every_seconds=0.02, within_seconds=60)
