"""A witness that cannot be used is refused, one that cannot be read proves nothing."""

import asyncio
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

import asyncpg
import pytest
from tests.witnesses.conftest import Audited, OpenTeam, Shop
from tests.witnesses.teams import WALLETS

from moneypath.secret_files import SECRET_BYTES_MAX
from moneypath.witnesses import Window, load_witnesses, sql_source
from moneypath.witnesses.columns import Row, columns_of
from moneypath.witnesses.sql_source import SqlSource

SELECT = WALLETS.queries["ledger"].strip().removesuffix(";")


def asked(shop: Shop, query: str) -> Audited:
    """Audit with another query on the ledger."""
    (shop.folder / "sql" / "ledger.sql").write_text(query, encoding="utf-8")
    return shop.audit()


READ_WRITE = "set_config('transaction_read_only', 'off', true)"
WRITING = {
    "delete": "DELETE FROM wallet RETURNING *",
    "with": f"WITH gone AS (DELETE FROM wallet RETURNING *) {SELECT}",
    "function": f"SELECT * FROM ({SELECT}) AS row WHERE team.take_all() > 0",
    "two statements": f"{SELECT}; DELETE FROM wallet",
    "out of the brackets": f"{SELECT}) AS one; DELETE FROM wallet; SELECT * FROM ({SELECT}",
    "commit": f"COMMIT; DELETE FROM wallet; {SELECT}",
    "read-write": f"SELECT * FROM ({SELECT}) AS row WHERE {READ_WRITE} = 'off'",
    "create": "CREATE TABLE other (entry_id text)",
}


@pytest.mark.parametrize("query", WRITING)
def test_a_query_that_writes_is_refused(open_team: OpenTeam, query: str) -> None:
    """Even of a role that may write: nothing is gone afterwards."""
    shop = open_team(WALLETS)
    shop.execute(
        "GRANT ALL ON ALL TABLES IN SCHEMA team TO auditor",
        "GRANT ALL ON SCHEMA team TO auditor",
        "CREATE FUNCTION take_all() RETURNS int LANGUAGE sql AS 'DELETE FROM team.wallet RETURNING 1'",
    )
    before = count(shop)
    done = asked(shop, WRITING[query])
    assert done.code == 2
    assert "error: witness wallet_rows, sql/ledger.sql: " in done.output
    assert "allowed: one SELECT that writes nothing" in done.output
    assert "Traceback" not in done.output
    assert count(shop) == before > 0


def count(shop: Shop, what: str = "SELECT count(*) FROM team.wallet") -> int:
    """Ask the database for a number."""

    async def ask() -> int:
        connection = await asyncpg.connect(host=str(shop.socket), user="owner", database="postgres")
        try:
            return int(await connection.fetchval(what))
        finally:
            await connection.close()

    return asyncio.run(ask())


def test_a_query_that_never_ends_is_given_up(open_team: OpenTeam) -> None:
    """Its time limit ends it here, and on the server too."""
    shop = open_team(WALLETS)
    shop.edit("sql: sql/ledger.sql", "sql: sql/ledger.sql\n    time_limit: 300ms")
    done = asked(shop, f"SELECT * FROM ({SELECT}) AS row, pg_sleep(600) AS asleep")
    assert done.code == 2  # the column of the function is unknown
    done = asked(shop, f"SELECT row.* FROM ({SELECT}) AS row, pg_sleep(600) AS asleep")
    assert done.code == 3
    assert "error: witness wallet_rows: " in done.output
    assert "not read whole within 0.3 s" in done.output
    assert "Nothing was proven." in done.output
    running = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'moneypath-audit'"
    for _ in range(1_000):
        if not count(shop, running):
            break
    else:
        pytest.fail("the server still runs the query")


def test_a_billion_rows_are_not_read(open_team: OpenTeam) -> None:
    """The cursor ends after the declared number; the rest is never sent."""
    shop = open_team(WALLETS)
    shop.edit("sql: sql/ledger.sql", "sql: sql/ledger.sql\n    rows_max: 20000")
    done = asked(
        shop, f"SELECT row.* FROM ({SELECT}) AS row, {', '.join(f'wallet AS w{n}' for n in range(6))}"
    )
    assert done.code == 3
    assert "error: witness wallet_rows: more than 20000 rows" in done.output


TYPES = {
    "amount": ("row.amount", "row.amount::float8", "amount is of type float8; allowed: bpchar, citext, int2"),
    "money": ("row.amount", "row.amount::money", "amount is of type money"),
    "time": ("row.created_at AS", "row.created_at::date AS", "posted_at is of type date; allowed:"),
    "local time": ("row.created_at AS", "row.created_at::timestamp AS", "posted_at is of type timestamp;"),
    "account": ("row.source AS", "ARRAY[row.source] AS", "debit_account is of type text[]"),
    "id": ("row.id AS", "to_json(row.id) AS", "entry_id is of type json"),
    "missing": ("orders.provider,", "", "the column provider is missing; allowed: entry_id, kind, "),
    "unknown": ("row.amount,", "row.amount, 1 AS colour,", "the column colour is unknown; allowed: entry_id"),
    "twice": (
        "row.amount,",
        "row.amount, 1 AS amount,",
        "the column amount stands twice; allowed: each once",
    ),
    "no key": ("orders.asked AS idempotency_key,", "", "the column idempotency_key is missing"),
    "no table": ("FROM wallet", "FROM purse", 'relation "purse" does not exist'),
    "no end": ("ON orders.hold", "ON (orders.hold", "syntax error"),
    "not by this role": ("FROM wallet AS row", "FROM pg_authid AS x, wallet AS row", "permission denied"),
}


@pytest.mark.parametrize("case", TYPES)
def test_columns_that_do_not_fit_are_named(open_team: OpenTeam, case: str) -> None:
    """With their type, and with what is allowed."""
    old, new, said = TYPES[case]
    assert old in SELECT
    done = asked(open_team(WALLETS), SELECT.replace(old, new))
    assert (done.code, said in done.output) == (2, True), done.output


def test_types_that_fit_are_read(open_team: OpenTeam) -> None:
    """Integers, texts, uuids and a team's own enumeration."""
    shop = open_team(WALLETS)
    shop.execute(
        "CREATE TYPE word AS ENUM ('capture', 'refund', 'payout', 'chargeback', 'treasury', 'sale', 'hold')",
        "GRANT USAGE ON TYPE word TO auditor",
    )
    query = SELECT.replace("END AS kind", "END::word AS kind").replace("row.amount", "row.amount::int8")
    query = query.replace("row.id AS entry_id", "md5(row.id)::uuid AS entry_id")
    (shop.folder / "sql" / "ledger.sql").write_text(query, encoding="utf-8")
    assert shop.judge().code == 0


@pytest.mark.parametrize(
    ("mode", "code"), [(0o600, 0), (0o400, 0), (0o640, 2), (0o604, 2), (0o602, 2), (0o777, 2)]
)  # fmt: skip
def test_a_secret_that_everybody_may_read_is_refused(open_team: OpenTeam, mode: int, code: int) -> None:
    """And not quoted."""
    shop = open_team(WALLETS)
    (shop.folder / "secrets" / "dsn").chmod(mode)
    done = shop.judge()
    assert done.code == code
    if code:
        assert f"may be read by others (mode {mode:04o}); allowed: 0600" in done.output
        assert "postgresql://" not in done.output


SECRETS = {
    "": "does not hold one line of printable text",
    "one\ntwo": "does not hold one line of printable text",
    "x" * (SECRET_BYTES_MAX + 1): f"is larger than {SECRET_BYTES_MAX} bytes",
    "hunter2": "secrets/dsn holds no address of a database",
    "postgresql://me:hunter2@/postgres?host=/dev/null": "cannot be read",
    "postgresql://me:hunter2@127.0.0.1:port/x": "secrets/dsn holds no address of a database",
}


@pytest.mark.parametrize("secret", SECRETS)
def test_what_is_no_address_is_said_without_it(open_team: OpenTeam, secret: str) -> None:
    """Nothing that stands in the file is repeated."""
    shop = open_team(WALLETS)
    (shop.folder / "secrets" / "dsn").write_text(secret, encoding="utf-8")
    done = shop.audit()
    assert done.code in (2, 3)
    assert SECRETS[secret] in done.output
    assert "hunter2" not in done.output


def test_a_secret_that_is_no_file_is_refused(open_team: OpenTeam) -> None:
    """A folder, and nothing."""
    shop = open_team(WALLETS)
    file = shop.folder / "secrets" / "dsn"
    file.unlink()
    assert "cannot be read: No such file or directory" in shop.audit().output
    file.mkdir(mode=0o700)
    done = shop.audit()
    assert (done.code, "is not a regular file" in done.output) == (2, True)


LINES = {
    "nonsense\n": "line 1 is no JSON object",
    "[]\n": "line 1 is no JSON object",
    '{"colour": 1}\n': "line 1 has the unknown column colour; allowed: idempotency_key",
    '{"at": {}}\n': "line 1 has a value that is neither text nor a number",
    '{"at": true}\n': "line 1 has a value that is neither text nor a number",
    '{"at": 1}\n': "the column amount is missing",
    f'{{"at": "{"x" * 20_000}"}}\n': "line 1 is longer than 16384 bytes",
    "[" * 16_000 + "\n": "line 1 is no JSON object",
}


@pytest.mark.parametrize("line", LINES, ids=range(len(LINES)))
def test_a_file_that_is_no_log_is_refused(open_team: OpenTeam, line: str) -> None:
    """With the line, and with what is allowed."""
    shop = open_team(WALLETS)
    (shop.folder / "answers.jsonl").write_text(line, encoding="utf-8")
    done = shop.audit()
    assert (done.code, LINES[line] in done.output) == (2, True), done.output


def test_a_last_line_that_is_cut_off_is_left_out_and_said(open_team: OpenTeam) -> None:
    """A client was killed while it wrote: that answer is unknown."""
    shop = open_team(WALLETS)
    file = shop.folder / "answers.jsonl"
    number = file.read_text().count("\n") + 1
    with file.open("a") as stream:
        stream.write('{"idempotency_key": "ask')
    done = shop.audit()
    assert done.code == 0
    assert f"line {number} is cut off and left out" in done.output


def test_a_file_that_is_missing_or_too_long_is_said(open_team: OpenTeam) -> None:
    """The one has to be corrected, of the other nothing is proven."""
    shop = open_team(WALLETS)
    shop.edit("file: answers.jsonl", "file: answers.jsonl\n    rows_max: 5")
    done = shop.audit()
    assert (done.code, "witness client_log: more than 5 rows" in done.output) == (3, True)
    Path(shop.folder / "answers.jsonl").unlink()
    assert shop.audit().code == 2


def test_one_snapshot_for_the_whole_source(open_team: OpenTeam, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is committed between two pages belongs to the next audit."""
    shop = open_team(WALLETS)
    monkeypatch.setattr(sql_source, "PAGE_ROWS", 3)
    witness = load_witnesses(shop.file).find("wallet_rows")
    source = SqlSource(witness, shop.folder, columns_of(witness), Window())
    before = count(shop)
    pages = source.pages(set())
    read = len(next(pages))
    shop.execute("INSERT INTO wallet SELECT * FROM wallet", "DELETE FROM wallet WHERE id = 'txn-1'")
    read += sum(len(page) for page in pages)
    assert read == before


def test_a_server_that_is_silent_is_given_up(open_team: OpenTeam, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the connection and says nothing."""
    shop = open_team(WALLETS)
    monkeypatch.setattr(sql_source, "_CONNECT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"postgresql://me:hunter2@127.0.0.1:{server.getsockname()[1]}/x"
        (shop.folder / "secrets" / "dsn").write_text(address, encoding="utf-8")
        done = shop.audit()
    assert (done.code, "does not answer within 0.2 s" in done.output) == (3, True)
    assert "hunter2" not in done.output


def test_what_one_reconciliation_cannot_read_leaves_the_others_their_verdict(open_team: OpenTeam) -> None:
    """The exit code is 3, unless another one is not whole."""
    shop = open_team(WALLETS)
    shop.edit("reconcile:", "reconcile:\n  - {id: two, ledger: wallet_rows, books: [provider_book]}")
    shop.edit("file: answers.jsonl", "file: answers.jsonl\n    rows_max: 5")
    done = shop.audit("--json")
    assert (done.code, [one["result"] for one in done.document["audits"]]) == (3, ["whole"])
    assert done.document["unread"] == ["witness client_log: more than 5 rows"]
    shop.execute(WALLETS.changes["lost"])
    assert shop.audit("--json").code == 1
    assert shop.audit("--json", "--only", "all").code == 3


def test_the_whole_query_sees_one_instant(open_team: OpenTeam, monkeypatch: pytest.MonkeyPatch) -> None:
    """A function in it too, though it is called anew for each row."""
    shop = open_team(WALLETS)
    shop.execute(
        "CREATE FUNCTION seen() RETURNS bigint LANGUAGE sql VOLATILE AS 'SELECT count(*) FROM team.wallet'"
    )
    pages = ledger_pages(shop, monkeypatch, "team.seen()")
    seen = {row[6] for row in next(pages)}
    shop.execute("INSERT INTO wallet SELECT * FROM wallet")
    seen |= {row[6] for page in pages for row in page}
    assert seen == {str(count(shop) // 2)}


def test_the_server_has_the_time_limit_too(open_team: OpenTeam, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that dies leaves no query behind."""
    for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
        pages = ledger_pages(open_team(WALLETS), monkeypatch, f"current_setting('{name}')")
        assert {row[6] for page in pages for row in page} == {"10min"}


def ledger_pages(shop: Shop, monkeypatch: pytest.MonkeyPatch, payment: str) -> Iterator[Sequence[Row]]:
    """Read the ledger, three rows at a time, with this as its `payment_id`."""
    monkeypatch.setattr(sql_source, "PAGE_ROWS", 3)
    query = SELECT.replace("NULL AS payment_id", f"{payment} AS payment_id")
    (shop.folder / "sql" / "ledger.sql").write_text(query, encoding="utf-8")
    witness = load_witnesses(shop.file).find("wallet_rows")
    return SqlSource(witness, shop.folder, columns_of(witness), Window()).pages(set())
