"""Each ready check on a real PostgreSQL and a foreign ledger: whole, and with a planted violation."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moneypath.checks.results import RunResult
from moneypath.checks.running import run
from moneypath.telemetry.catalogue.vocabulary import CheckRunOutcome

from .foreign import (
    BALANCE_IS_SUM,
    BOOKS,
    CAPTURE_WITHOUT_POSTING,
    DUPLICATE,
    EXPONENTS,
    NEGATIVE,
    POSTING_WITHOUT_CAPTURE,
    STUCK,
    ZERO_SUM,
    ZERO_SUM_BY_SIDE,
    Connection,
    ready_plan,
)

READY: Mapping[str, tuple[dict[str, Any], str]] = {
    "zero_sum": (ZERO_SUM, "minor"),
    "zero_sum by side": (ZERO_SUM_BY_SIDE, "minor"),
    "balance_is_sum": (BALANCE_IS_SUM, "major"),
    "capture_without_posting": (CAPTURE_WITHOUT_POSTING, "major"),
    "posting_without_capture": (POSTING_WITHOUT_CAPTURE, "minor"),
    "duplicate_reference": (DUPLICATE, "major"),
    "negative_balance": (NEGATIVE, "major"),
    "stuck_in_flight": (STUCK, "major"),
}
# What is planted, and the one violation that has to be found: subject, minor units, currency.
PLANTED: Sequence[tuple[str, str, tuple[str, int | None, str | None]]] = (
    (
        "zero_sum",
        """UPDATE "Line ""Items"" A" SET delta = delta + 7
        WHERE txn = md5('3')::uuid AND "order" = 'JPY' AND delta > 0""",
        ("eccbc87e-4b5c-e2fe-2830-8fd9f2a7baf3", 7, "JPY"),
    ),
    (
        "zero_sum",
        """DELETE FROM "Line ""Items"" A" WHERE txn = md5('3')::uuid AND "order" = 'EUR' AND delta > 0""",
        ("eccbc87e-4b5c-e2fe-2830-8fd9f2a7baf3", -300, "EUR"),
    ),
    (
        "zero_sum",
        """UPDATE "Line ""Items"" A" SET delta = NULL WHERE txn = md5('3')::uuid AND "order" = 'EUR'""",
        ("eccbc87e-4b5c-e2fe-2830-8fd9f2a7baf3", None, "EUR"),
    ),
    (
        "zero_sum",
        """UPDATE "Line ""Items"" A" SET "order" = NULL WHERE txn = md5('3')::uuid AND "order" = 'EUR'""",
        ("eccbc87e-4b5c-e2fe-2830-8fd9f2a7baf3", None, None),
    ),
    (
        "zero_sum by side",
        "UPDATE booking SET debit_credit = 'C' WHERE order_ref = 'one/a-2'",
        ("one/a-2", -14, "JPY"),
    ),
    (
        "zero_sum by side",
        "UPDATE booking SET debit_credit = 'X' WHERE order_ref = 'one/a-2'",
        ("one/a-2", None, "JPY"),
    ),
    ("balance_is_sum", "UPDATE wallet SET total = total + 5 WHERE holder = '@bob'", ("@bob", 500, "EUR")),
    ("balance_is_sum", "DELETE FROM wallet WHERE holder = '@bob'", ("@bob", -1225, "EUR")),
    ("balance_is_sum", "UPDATE wallet SET total = NULL WHERE holder = '@bob'", ("@bob", None, "EUR")),
    ("balance_is_sum", "INSERT INTO wallet VALUES ('@eve', 0.01, 'EUR')", ("@eve", 1, "EUR")),
    ("balance_is_sum", "UPDATE wallet SET total = 37.754 WHERE total = 37.75", ("@ann", None, "EUR")),
    (
        "capture_without_posting",
        "DELETE FROM booking WHERE order_ref = 'two/a-1'",
        ("two/a-1", 1125, "KWD"),
    ),
    (
        "capture_without_posting",
        "UPDATE charge SET taken = NULL WHERE ref = 'a-4'",
        ("two/a-4", 500, "EUR"),
    ),
    (
        "posting_without_capture",
        "INSERT INTO booking VALUES ('two/a-9', 'receivable', 'D', 900, 'EUR', now() - interval '1 hour')",
        ("two/a-9", 900, "EUR"),
    ),
    (
        "posting_without_capture",
        "UPDATE charge SET state = 'declined' WHERE ref = 'a-2'",
        ("one/a-2", 7, "JPY"),
    ),
    (
        "posting_without_capture",
        "UPDATE booking SET leg = NULL, order_ref = NULL WHERE order_ref = 'one/a-2' AND leg = 'receivable'",
        ("", 7, "JPY"),
    ),
    (
        "duplicate_reference",
        "INSERT INTO charge VALUES ('one', 'a-1', 11, 'EUR', now(), 'captured')",
        ("one/a-1", 1100, "EUR"),
    ),
    ("negative_balance", "UPDATE wallet SET total = -0.5 WHERE holder = '@bob'", ("@bob", -50, "EUR")),
    ("negative_balance", "UPDATE wallet SET total = NULL WHERE holder = '@bob'", ("@bob", None, "EUR")),
    (
        "negative_balance",
        "UPDATE wallet SET holder = NULL, total = -1 WHERE holder = '@bob'",
        ("", -100, "EUR"),
    ),
    (
        "stuck_in_flight",
        "UPDATE transfer SET id = md5('x')::uuid, made = now() - interval '1 hour' WHERE state = 'HELD'",
        ("9dd4e461-268c-8034-f5c8-564e155c67a6", 300, "EUR"),
    ),
    (
        "stuck_in_flight",
        "UPDATE transfer SET id = md5('x')::uuid, made = NULL WHERE state = 'HELD'",
        ("9dd4e461-268c-8034-f5c8-564e155c67a6", 300, "EUR"),
    ),
)
# Nothing of this is a violation: too young, of another state, another shop's, exactly zero.
HARMLESS = {
    "a reference of another shop": "INSERT INTO charge VALUES ('six', 'a-1', 9, 'EUR', now(), 'captured')",
    "a declined double": "INSERT INTO charge VALUES ('one', 'a-1', 9, 'EUR', now(), 'declined')",
    "an account at zero": "INSERT INTO wallet VALUES ('@zero', 0, 'USD')",
    "a young posting": "INSERT INTO booking SELECT 'z', leg, side, 1, 'EUR', now() FROM "
    "(VALUES ('receivable', 'D'), ('payable', 'C')) AS legs(leg, side)",
    "two rows without a reference": "INSERT INTO charge SELECT 'one', NULL, 1, 'EUR', now(), 'captured' "
    "FROM generate_series(1, 2)",
}


async def found(reader: Connection, check: str) -> RunResult:
    """Run a ready check."""
    ready, amount = READY[check]
    return await run(reader, ready_plan(ready, amount), EXPONENTS, keep=10)


@pytest.mark.parametrize("check", READY)
async def test_a_whole_ledger_has_no_violation(reader: Connection, check: str) -> None:
    """The statement runs on tables and columns of other names, and finds nothing."""
    result = await found(reader, check)
    assert (result.outcome, result.reason, result.count) == (CheckRunOutcome.SUCCEEDED, "", 0)


@pytest.mark.parametrize("change", HARMLESS)
async def test_what_is_in_order_is_no_violation(owner: Connection, reader: Connection, change: str) -> None:
    """Each of these stands on the edge of a check."""
    await owner.execute(HARMLESS[change])
    assert [(check, (await found(reader, check)).violations) for check in READY] == [(c, ()) for c in READY]


@pytest.mark.parametrize(("check", "planted", "violation"), PLANTED)
async def test_exactly_the_planted_violation_is_found(
    owner: Connection,
    reader: Connection,
    check: str,
    planted: str,
    violation: tuple[str, int | None, str | None],
) -> None:
    """One row, with its subject and its money; an amount that cannot be read is one as well."""
    await owner.execute(planted)
    result = await found(reader, check)
    assert [(one.subject, one.amount_minor, one.currency) for one in result.violations] == [violation]
    _, amount, currency = violation
    assert (result.count, result.unreadable) == (1, int(amount is None))
    assert result.money == ({} if amount is None else {currency: abs(amount)})


async def test_a_ready_check_says_since_when(owner: Connection, reader: Connection) -> None:
    """As Unix time, from a column with a time zone and from one without, which is taken as UTC."""
    await owner.execute("UPDATE transfer SET made = '2026-01-02 03:04:05' WHERE state = 'HELD'")
    await owner.execute("DELETE FROM booking")
    await owner.execute("UPDATE charge SET taken = '2026-01-02 03:04:05Z' WHERE ref = 'a-2'")
    assert (await found(reader, "stuck_in_flight")).oldest_since == 1767323045
    assert (await found(reader, "capture_without_posting")).oldest_since == 1767323045


@pytest.mark.parametrize("value", ["HELD' OR '1'='1", "HELD\\", 'x"); DROP TABLE wallet; --'])
async def test_a_value_of_a_mapping_is_a_value(owner: Connection, reader: Connection, value: str) -> None:
    """Whatever it holds: it is compared with, and nothing else."""
    ready = {**DUPLICATE, "where": {"state": [value]}}
    await owner.execute("INSERT INTO charge VALUES ('one', 'a-1', 1, 'EUR', now(), 'captured')")
    assert (await run(reader, ready_plan(ready), EXPONENTS)).count == 0
    await owner.execute("UPDATE charge SET state = $1", value)
    assert (await run(reader, ready_plan(ready), EXPONENTS)).count == 1


async def test_a_float_is_refused_wherever_it_stands(owner: Connection, reader: Connection) -> None:
    """Sums of floats are not exact: they do not fit, and are not rounded."""
    await owner.execute("DROP VIEW captured; ALTER TABLE wallet ALTER total TYPE float8")
    result = await found(reader, "balance_is_sum")
    assert result.outcome is CheckRunOutcome.UNFIT
    assert result.reason == "the column amount_minor is float8; allowed: int2, int4, int8, numeric"


LINES = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.sampled_from(["EUR", "JPY"]),
        st.one_of(st.none(), st.integers(-3, 3), st.integers(-(2**62), 2**62)),
    ),
    max_size=12,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=LINES)
async def test_zero_sum_finds_what_a_model_finds(
    owner: Connection, reader: Connection, lines: list[tuple[int, str, int | None]]
) -> None:
    """Any lines: the same entries and the same amounts, beyond 63 bits too, as Python's own sums."""
    await owner.execute('TRUNCATE "Line ""Items"" A"')
    await owner.executemany(
        """INSERT INTO "Line ""Items"" A" VALUES (md5($1::int::text)::uuid, $2, $3, now())""", lines
    )
    sums: dict[tuple[int, str], int | None] = {}
    for entry, currency, amount in lines:
        so_far = sums.get((entry, currency), 0)
        sums[entry, currency] = None if amount is None or so_far is None else so_far + amount
    expected = sorted((str(total), currency) for (_, currency), total in sums.items() if total != 0)
    result = await run(reader, ready_plan(ZERO_SUM, "minor"), EXPONENTS, keep=100)
    assert sorted((str(one.amount_minor), str(one.currency)) for one in result.violations) == expected


ACCOUNTS = st.sampled_from(["@a", "@b", "@c"])
UNITS = st.sampled_from(["EUR", "USD"])
CENTS = st.integers(-(10**20), 10**20)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    moves=st.lists(st.tuples(ACCOUNTS, ACCOUNTS, CENTS, UNITS), max_size=8),
    errors=st.dictionaries(st.tuples(ACCOUNTS, UNITS), CENTS, max_size=2),
    missing=st.sets(st.tuples(ACCOUNTS, UNITS), max_size=2),
)
async def test_balance_is_sum_finds_what_a_model_finds(
    owner: Connection,
    reader: Connection,
    moves: list[tuple[str, str, int, str]],
    errors: dict[tuple[str, str], int],
    missing: set[tuple[str, str]],
) -> None:
    """Any transfers, wrong and missing balances: the same accounts and differences as Python's own sums."""
    sums: dict[tuple[str, str], int] = {}
    for source, destination, cents, unit in moves:
        sums[source, unit] = sums.get((source, unit), 0) - cents
        sums[destination, unit] = sums.get((destination, unit), 0) + cents
    kept = {key: sums.get(key, 0) + errors.get(key, 0) for key in sums | errors if key not in missing}
    await owner.execute("TRUNCATE wallet, transfer")
    await owner.executemany(
        "INSERT INTO transfer (src, dst, sum, unit, state) "
        "VALUES ($1, $2, $3::numeric * 0.01, $4, 'APPLIED')",
        moves,
    )
    await owner.executemany(
        "INSERT INTO wallet VALUES ($1, $2::numeric * 0.01, $3)",
        [(account, cents, unit) for (account, unit), cents in kept.items()],
    )
    expected = {
        key: kept.get(key, 0) - sums.get(key, 0)
        for key in sums | kept
        if kept.get(key, 0) != sums.get(key, 0)
    }
    result = await run(reader, ready_plan(BALANCE_IS_SUM), EXPONENTS, keep=100)
    assert {(one.subject, one.currency): one.amount_minor for one in result.violations} == expected


async def test_lines_of_one_account_and_balances_of_the_other_sign(
    owner: Connection, reader: Connection
) -> None:
    """Classic double entry: one account a line, debit and credit by a column, payables positive."""
    await owner.execute(
        "CREATE TABLE chart (code text, owed integer, unit text);"
        "INSERT INTO chart SELECT leg, sum(amount) * (CASE leg WHEN 'payable' THEN 1 ELSE -1 END), unit "
        "FROM booking GROUP BY leg, unit; GRANT SELECT ON chart TO auditor"
    )
    ready = {
        "kind": "balance_is_sum",
        "balances": {
            "table": [BOOKS, "chart"],
            "account": "code",
            "balance": "owed",
            "currency": "unit",
            "opposite_sign": True,
        },
        "movements": {
            "table": [BOOKS, "booking"],
            "account": "leg",
            "amount": "amount",
            "currency": "unit",
            "side": {"column": "debit_credit", "debit": ["D"], "credit": ["C"]},
        },
    }
    plan = ready_plan(ready, "minor")
    assert (await run(reader, plan, EXPONENTS)).count == 0
    await owner.execute("UPDATE chart SET owed = owed + 1 WHERE code = 'payable' AND unit = 'JPY'")
    (one,) = (await run(reader, plan, EXPONENTS, keep=10)).violations
    assert (one.subject, one.amount_minor, one.currency) == ("payable", -1, "JPY")
    negative = {**NEGATIVE, "table": "chart", "account": "code", "balance": "owed", "opposite_sign": True}
    del negative["unless"]
    violations = (await run(reader, ready_plan(negative, "minor"), EXPONENTS, keep=10)).violations
    assert {one.subject for one in violations} == {"payable"}
