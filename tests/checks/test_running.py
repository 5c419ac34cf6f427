"""A check runs in one read-only snapshot, within its time and its rows, whatever its statement tries."""

import asyncio
import re
from pathlib import Path

import asyncpg
import pytest

from moneypath.checks import running
from moneypath.checks.running import run
from moneypath.checks.session import read_only_connection
from moneypath.telemetry.catalogue.vocabulary import CheckRunOutcome as Outcome

from .foreign import EXPONENTS, Connection, plan_of, until

ROW = "SELECT 'a' AS subject, {amount} AS amount_minor, {currency} AS currency, now() AS since"
WRITES = {
    "insert in a function": ("SELECT wipe()", Outcome.REFUSED, "25006"),
    "insert as a statement": (
        "INSERT INTO wallet VALUES ('x', 1, 'EUR') RETURNING holder",
        Outcome.REFUSED,
        "42601",
    ),
    "delete in WITH": (
        "WITH gone AS (DELETE FROM wallet RETURNING holder) SELECT holder FROM gone",
        Outcome.REFUSED,
        "0A000",
    ),
    "a lock": ("SELECT holder FROM wallet FOR UPDATE", Outcome.REFUSED, "25006"),
    "a sequence": ("SELECT nextval('counted')", Outcome.REFUSED, "25006"),
    "two statements": (
        "SELECT 1) AS a; DELETE FROM wallet; SELECT * FROM (SELECT 1",
        Outcome.REFUSED,
        "42601",
    ),
    "writing allowed by itself": (
        "SELECT set_config('transaction_read_only', 'off', true), wipe()",
        Outcome.REFUSED,
        "25001",
    ),
}


@pytest.fixture
async def writable(owner: Connection, postgres_socket: Path) -> Connection:
    """Return the owner, who has all rights, with something to write."""
    await owner.execute(
        "CREATE SEQUENCE counted; CREATE FUNCTION wipe() RETURNS text LANGUAGE plpgsql AS "
        "$$ BEGIN DELETE FROM wallet; RETURN 'done'; END $$"
    )
    return owner


@pytest.mark.parametrize("kind", WRITES)
async def test_a_statement_that_writes_is_refused_by_the_server(
    writable: Connection, postgres_socket: Path, kind: str
) -> None:
    """With the rights of the owner: nothing is changed, the reason is said, and the session goes on."""
    statement, outcome, code = WRITES[kind]
    before = await writable.fetchval("SELECT sum(total) FROM wallet")
    head = ROW.format(amount=1, currency="'EUR'")
    wrapped = f"{head} FROM ({statement}) AS found"
    async with read_only_connection(f"postgresql://owner@/postgres?host={postgres_socket}") as connection:
        await connection.execute('SET search_path = "Books & Co"')
        result = await run(connection, plan_of(wrapped), EXPONENTS)
        assert (result.outcome, result.count, code in result.reason) == (outcome, 0, True), result
        assert (await run(connection, plan_of(ROW.format(amount=1, currency="'EUR'")), EXPONENTS)).count == 1
    assert await writable.fetchval("SELECT sum(total) FROM wallet") == before


async def test_a_session_cannot_write_outside_of_a_run_either(
    owner: Connection, postgres_socket: Path
) -> None:
    """It is read-only by default, should a transaction ever be begun without the word."""
    async with read_only_connection(f"postgresql://owner@/postgres?host={postgres_socket}") as connection:
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await connection.execute("CREATE TABLE mine ()")
        settings = {
            row["name"]: row["setting"] for row in await connection.fetch("SELECT * FROM pg_settings")
        }
        assert settings["max_parallel_workers_per_gather"] == "0"
        assert settings["client_connection_check_interval"] == "1000"
        assert settings["application_name"] == "moneypath-exporter"


async def test_a_statement_that_never_ends_is_ended_by_the_server(reader: Connection) -> None:
    """At its time limit, with the session whole; another one sets its own time limit and gains nothing."""
    endless = ROW.format(amount=1, currency="'EUR'") + ", pg_sleep(100)"
    for extra in ("", ", set_config('statement_timeout', '0', true)"):
        result = await run(reader, plan_of(endless + extra, time_limit_seconds=0.2), EXPONENTS)
        assert (result.outcome, result.reason) == (Outcome.TIMED_OUT, "it takes longer than 0.2 s")
        assert 0.2 <= result.seconds < 10
    assert not reader.is_closed()
    assert (await run(reader, plan_of(ROW.format(amount=1, currency="'EUR'")), EXPONENTS)).count == 1


async def test_a_server_that_keeps_no_limit_is_left(
    owner: Connection, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client has a limit of its own: the connection is given up, and the server notices and stops."""
    monkeypatch.setattr(running, "_LIMITS", "SELECT $1::text")
    monkeypatch.setattr(running, "GRACE_SECONDS", 0.1)
    endless = ROW.format(amount=1, currency="'EUR'") + ", pg_sleep(100)"
    async with read_only_connection(dsn) as connection:
        pid = connection.get_server_pid()
        result = await run(connection, plan_of(endless, time_limit_seconds=0.2), EXPONENTS)
        assert (result.outcome, result.reason) == (Outcome.TIMED_OUT, "no answer within 0.3 s")
        assert connection.is_closed()
    await until(owner, "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $1", pid)


async def test_a_billion_rows_are_at_least_as_many_as_the_bound(reader: Connection) -> None:
    """Rows are counted up to the bound and no further, and it is said; the server stops too."""
    many = ROW.format(amount=2, currency="'EUR'") + (
        " FROM generate_series(1, 31623) AS a, generate_series(1, 31623) AS b"
    )
    result = await run(reader, plan_of(many, rows_max=1_200), EXPONENTS, keep=3)
    assert (result.outcome, result.count, result.money) == (Outcome.TRUNCATED, 1_200, {"EUR": 2_400})
    assert result.reason == "there are more than 1200 violations"
    assert len(result.violations) == 3
    assert result.seconds < 20


async def test_as_many_rows_as_the_bound_are_all(reader: Connection) -> None:
    """The bound itself is not beyond it, whether or not it is a multiple of a fetch."""
    for rows in (1, running.FETCH_ROWS, running.FETCH_ROWS + 1):
        exact = ROW.format(amount=2, currency="'EUR'") + f" FROM generate_series(1, {rows})"
        result = await run(reader, plan_of(exact, rows_max=rows), EXPONENTS)
        assert (result.outcome, result.count) == (Outcome.SUCCEEDED, rows)


UNREADABLE = {
    "no amount": ("NULL::bigint", "'EUR'"),
    "part of a minor unit": ("0.4", "'EUR'"),
    "no currency": ("5", "NULL::text"),
    "an undeclared currency": ("5", "'XAU'"),
    "a currency in small letters": ("5", "'eur'"),
    "not a number": ("'NaN'::numeric", "'EUR'"),
    "infinity": ("'-Infinity'::numeric", "'EUR'"),
    "more digits than are read": ("10::numeric ^ 500", "'EUR'"),
}


@pytest.mark.parametrize("kind", UNREADABLE)
async def test_what_cannot_be_read_is_a_violation_all_the_same(reader: Connection, kind: str) -> None:
    """It is counted among the violations and apart, and has no money; a readable one beside it has."""
    amount, currency = UNREADABLE[kind]
    rows = (ROW.format(amount=amount, currency=currency), ROW.format(amount="-7", currency="'EUR'"))
    result = await run(reader, plan_of(" UNION ALL ".join(rows)), EXPONENTS, keep=5)
    assert (result.outcome, result.count, result.unreadable) == (Outcome.SUCCEEDED, 2, 1)
    assert result.money == {"EUR": 7}
    assert [one.is_readable for one in result.violations] == [False, True]


async def test_amounts_are_exact_at_any_size(reader: Connection) -> None:
    """Beyond 63 bits, and in major units with the decimals of the currency."""
    large = "9223372036854775808::numeric * 1000000 + 1"
    result = await run(reader, plan_of(ROW.format(amount=large, currency="'EUR'")), EXPONENTS)
    assert result.money == {"EUR": 2**63 * 10**6 + 1}
    for amount, currency, minor in (("1.10", "EUR", 110), ("7.00", "JPY", 7), ("-0.001", "KWD", 1)):
        statement = ROW.format(amount=amount, currency=f"'{currency}'::char(3)")
        result = await run(reader, plan_of(statement, "major"), EXPONENTS)
        assert result.money == {currency: minor}


UNFIT = {
    "SELECT 1 AS subject, 1 AS amount_minor, now() AS since": "the column currency is missing; "
    "wanted: subject, amount_minor, currency, since",
    ROW.format(amount="0.5::float4", currency="'EUR'"): "the column amount_minor is float4; "
    "allowed: int2, int4, int8, numeric",
    ROW.format(amount="'5'", currency="'EUR'"): "the column amount_minor is text; "
    "allowed: int2, int4, int8, numeric",
    ROW.format(
        amount="5", currency="978"
    ): "the column currency is int4; allowed: text, varchar, bpchar, name",
    ROW.format(amount="5", currency="ARRAY['EUR']"): "the column currency is text[]; "
    "allowed: text, varchar, bpchar, name",
    ROW.format(amount="5", currency="'EUR'").replace("now()", "'now'"): "the column since is text; "
    "allowed: timestamptz, timestamp, date",
}


@pytest.mark.parametrize("statement", UNFIT)
async def test_columns_that_do_not_fit_are_told_before_a_row_is_read(
    reader: Connection, statement: str
) -> None:
    """By name and type, with what is allowed; such a run found nothing out."""
    result = await run(reader, plan_of(statement), EXPONENTS)
    assert (result.outcome, result.reason, result.is_known) == (Outcome.UNFIT, UNFIT[statement], False)


async def test_an_enumeration_is_a_currency_and_anything_a_subject(
    owner: Connection, reader: Connection
) -> None:
    """What the database itself defines is as good as text; an infinite time is none."""
    await owner.execute("CREATE TYPE unit AS ENUM ('EUR', 'USD')")
    statement = (
        "SELECT ROW(1, 'a') AS subject, 5::smallint AS amount_minor, 'USD'::\"Books & Co\".unit AS currency, "
        "'infinity'::timestamptz AS since"
    )
    result = await run(reader, plan_of(statement), EXPONENTS, keep=1)
    (one,) = result.violations
    assert (one.subject, one.currency, one.since, result.money) == ("(1,a)", "USD", None, {"USD": 5})


async def test_a_row_may_stand_for_no_money(reader: Connection) -> None:
    """Then neither amount nor currency is asked for, and nothing is unreadable."""
    result = await run(reader, plan_of("SELECT 'a' AS subject, now() AS since", "none"), EXPONENTS, keep=1)
    assert (result.count, result.unreadable, result.money) == (1, 0, {})
    assert result.violations[0].is_readable


async def test_a_subject_is_shown_redacted_bounded_and_printable(reader: Connection) -> None:
    """A card number is masked, a terminal's command is none, a long text is cut by the server."""
    for text, shown in (
        ("E'card 4111 1111 1111 1111'", r"card (?!4111).*"),
        ("E'a\\x1b[31mb'", r"a\?\[31mb"),
        ("repeat('x', 100000)", "x{200}"),
        ("NULL::text", ""),
    ):
        statement = ROW.format(amount=1, currency="'EUR'").replace("'a' AS", f"{text} AS", 1)
        (one,) = (await run(reader, plan_of(statement), EXPONENTS, keep=1)).violations
        assert re.fullmatch(shown, one.subject)


async def test_a_reason_quotes_no_row(reader: Connection) -> None:
    """An error about a value keeps the value to itself; an error about the text names the column."""
    value = "SELECT holder::int AS subject, 1 AS amount_minor, 'EUR' AS currency, now() AS since FROM wallet"
    result = await run(reader, plan_of(value), EXPONENTS)
    assert (result.outcome, result.reason) == (Outcome.REFUSED, "InvalidTextRepresentation (22P02)")
    result = await run(reader, plan_of(value.replace("holder", "owner_name")), EXPONENTS)
    assert result.reason == 'UndefinedColumn (42703): column "owner_name" does not exist'
    forbidden = value.replace("holder::int", "rolpassword").replace("wallet", "pg_authid")
    result = await run(reader, plan_of(forbidden), EXPONENTS)
    assert result.reason == "InsufficientPrivilege (42501): permission denied for table pg_authid"


async def test_a_connection_that_is_ended_makes_the_run_unreachable(
    owner: Connection, reader: Connection
) -> None:
    """As an administrator or a restart does it, in the middle of a statement."""
    pid = reader.get_server_pid()
    statement = ROW.format(amount=1, currency="'EUR'") + ", pg_sleep(100)"
    going = asyncio.create_task(run(reader, plan_of(statement), EXPONENTS))
    asleep = "SELECT count(*) = 1 FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep'"
    await until(owner, asleep, pid)
    await owner.fetchval("SELECT pg_terminate_backend($1)", pid)
    result = await going
    assert (result.outcome, result.is_known) == (Outcome.UNREACHABLE, False)
    assert reader.is_closed()


async def test_one_snapshot_sees_no_half_of_a_change(owner: Connection, reader: Connection) -> None:
    """The isolation is repeatable read, and nothing stays open afterwards."""
    statement = (
        "SELECT current_setting('transaction_isolation') || current_setting('transaction_read_only') "
        "AS subject, 1 AS amount_minor, 'EUR' AS currency, now() AS since"
    )
    result = await run(reader, plan_of(statement), EXPONENTS, keep=1)
    assert result.violations[0].subject == "repeatable readon"
    state = "SELECT state FROM pg_stat_activity WHERE pid = $1"
    assert await owner.fetchval(state, reader.get_server_pid()) == "idle"
