"""The command: what it prints, its exit codes, and how it refuses bad input."""

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from moneypath.cli.listening_options import PortTaken
from moneypath.cli.main import moneypath
from moneypath.secret_files import SecretFileUnusable

from .declared import declare
from .foreign import BALANCE_IS_SUM, ZERO_SUM, Connection

CHECKS: dict[str, dict[str, Any]] = {
    "entries": {"ready": ZERO_SUM},
    "balances": {"ready": BALANCE_IS_SUM, "amount": "major", "time_limit_seconds": 20},
}


@pytest.fixture
def file(tmp_path: Path, dsn: str) -> Path:
    """Write a declaration with two checks, and its secret."""
    secret = tmp_path / "dsn"
    secret.write_text(dsn, encoding="utf-8")
    secret.chmod(0o600)
    return declare(tmp_path, CHECKS)


def invoke(file: Path, *arguments: str) -> Result:
    """Run the command."""
    return CliRunner().invoke(moneypath, ["exporter", "--checks", str(file), *arguments])


async def in_thread(file: Path, *arguments: str) -> Result:
    """Run the command, which has an event loop of its own."""
    return await asyncio.to_thread(invoke, file, *arguments)


async def test_once_lists_what_is_violated(owner: Connection, file: Path) -> None:
    """With subject, money and time, in JSON and as a table; exit code 0 while all is whole, then 1."""
    whole = await in_thread(file, "--once", "--json")
    assert whole.exit_code == 0, whole.output
    assert [check["violations"] for check in json.loads(whole.output)["checks"]] == [0, 0]
    await owner.execute("UPDATE wallet SET total = total + 5 WHERE holder = '@bob'")
    violated = await in_thread(file, "--once", "--json")
    assert violated.exit_code == 1
    entries, balances = json.loads(violated.output)["checks"]
    assert (entries["check"], entries["violations"]) == ("entries", 0)
    assert (balances["violations"], balances["minor_units"]) == (1, {"EUR": 500})
    (one,) = balances["listed"]
    assert one.pop("since").endswith("Z")
    assert one == {"subject": "@bob", "amount_minor": 500, "currency": "EUR", "is_readable": True}
    table = (await in_thread(file, "--once")).output
    assert "balances: 1 violations" in table
    assert "@bob" in table


async def test_a_list_is_bounded_redacted_and_says_so(owner: Connection, file: Path) -> None:
    """Twenty rows are shown; a card number among the subjects is masked; what is unreadable is named."""
    await owner.execute(
        "INSERT INTO wallet SELECT '4111111111111111', NULL, 'EUR' FROM generate_series(1, 30)"
    )
    result = await in_thread(file, "--once")
    assert result.exit_code == 1
    assert "balances: 30 violations" in result.output
    assert "and 10 more" in result.output
    assert "4111111111111111" not in result.output
    assert result.output.count("unreadable") == 20


async def test_a_check_that_cannot_run_is_not_whole(owner: Connection, file: Path) -> None:
    """The exit code is 3, the others run, and the reason is said without a row or a secret."""
    await owner.execute("DROP VIEW captured; ALTER TABLE wallet RENAME COLUMN total TO sum")
    result = await in_thread(file, "--once")
    assert result.exit_code == 3
    assert "entries: 0 violations" in result.output
    assert "balances: not known, refused (UndefinedColumn (42703)" in result.output
    document = json.loads((await in_thread(file, "--once", "--json")).output)["checks"][1]
    assert set(document) == {"check", "outcome", "reason"}


def test_a_database_that_is_gone_is_not_whole(file: Path) -> None:
    """Each of its checks is unreachable."""
    (file.parent / "dsn").write_text("postgresql://a:open-sesame@/x?host=/dev/null", encoding="utf-8")
    result = invoke(file, "--once")
    assert result.exit_code == 3
    assert result.output.count("not known, unreachable") == 2
    assert "sesame" not in result.output


def test_the_statements_can_be_read_before_they_run(file: Path) -> None:
    """Each under its id, as it is sent; nothing is connected to."""
    (file.parent / "dsn").unlink()
    result = invoke(file, "--show-sql")
    assert result.exit_code == 0
    assert "-- entries: The entries holds\nSELECT " in result.output
    assert '"Books & Co"."wallet"' in result.output


@pytest.mark.parametrize(
    "arguments", [(), ("--once", "--port", "0"), ("--show-sql", "--once"), ("--show-sql", "--json")]
)
def test_one_thing_is_asked_for(file: Path, arguments: tuple[str, ...]) -> None:
    """Nothing, or two things at once, is a mistake of usage."""
    result = invoke(file, *arguments)
    assert result.exit_code == 2
    assert "--once" in result.output


def test_a_secret_that_others_may_read_stops_the_exporter(file: Path) -> None:
    """Before it listens, and before a connection is made."""
    (file.parent / "dsn").chmod(0o644)
    for arguments in (("--once",), ("--port", "0")):
        result = invoke(file, *arguments)
        assert isinstance(result.exception, SecretFileUnusable)
        assert "may be read by others (mode 0644)" in str(result.exception)


def test_a_taken_port_is_said(file: Path) -> None:
    """The checks are not begun."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = invoke(file, "--port", str(taken.getsockname()[1]))
    assert isinstance(result.exception, PortTaken)


def test_a_row_of_a_check_without_money_is_shown_without(tmp_path: Path, postgres_socket: Path) -> None:
    """Neither unreadable nor 0."""
    secret = tmp_path / "dsn"
    secret.write_text(f"postgresql://owner@/postgres?host={postgres_socket}", encoding="utf-8")
    secret.chmod(0o600)
    (tmp_path / "own.sql").write_text("SELECT 'a-1' AS subject, NULL::date AS since;", encoding="utf-8")
    result = invoke(declare(tmp_path, {"own": {"query_file": "own.sql", "amount": "none"}}), "--once")
    assert result.exit_code == 1
    assert "a-1" in result.output
    assert "unreadable" not in result.output
