"""What a query file may hold, how names and values are quoted, how amounts and secrets are read."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moneypath.checks.amounts import DIGITS_MAX, read_amount
from moneypath.checks.columns import describing
from moneypath.checks.database_address import place_of, read_dsn
from moneypath.checks.errors import QueryUnusable
from moneypath.checks.quoting import quote_identifier, quote_literal, quote_table
from moneypath.checks.statement import QUERY_BYTES_MAX, one_select, read_query
from moneypath.path.sql_checks import AmountUnit
from moneypath.secret_files import SecretFileUnusable

from .foreign import EXPONENTS, Connection

SELECTS = {
    "SELECT 1": "SELECT 1",
    "  select 1 ;  ": "select 1",
    "-- who; wrote it\nSELECT 1; -- end\n": "-- who; wrote it\nSELECT 1",
    "/* a /* b */ ; c */ WITH a AS (SELECT 1) TABLE a;;": "/* a /* b */ ; c */ WITH a AS (SELECT 1) TABLE a",
    "(SELECT 1) UNION (VALUES (2))": "(SELECT 1) UNION (VALUES (2))",
    "SELECT ';', E'\\';', \";\", $$;$$, $a$;$$;$a$": "SELECT ';', E'\\';', \";\", $$;$$, $a$;$$;$a$",
    "SELECT 'it''s', a$1, ')' FROM t": "SELECT 'it''s', a$1, ')' FROM t",
}
NO_SELECTS = {
    "": "begins with nothing",
    "-- SELECT 1": "begins with nothing",
    "DELETE FROM a": "begins with delete",
    "insert into a select 1": "begins with insert",
    "EXPLAIN ANALYZE DELETE FROM a": "begins with explain",
    "'SELECT'": "begins with 'select'",
    "SELECT 1; DELETE FROM a": "a second statement",
    "SELECT 1; SELECT 2": "a second statement",
    "SELECT 1) AS a; DELETE FROM a; SELECT (1": "parentheses do not match",
    "SELECT 1) AS a, (SELECT 2": "parentheses do not match",
    "SELECT (1": "parentheses do not match",
    "SELECT 'a": "' is not closed",
    'SELECT "a': '" is not closed',
    "SELECT $x$ a": "$x$ is not closed",
    "SELECT 1 /* a": "a comment is not closed",
    "SELECT $1": "takes a parameter, $1",
    "SELECT 1\0": "a NUL",
}


@pytest.mark.parametrize("text", SELECTS)
def test_one_select_is_taken_without_its_semicolon(text: str) -> None:
    """Comments, strings and quoted names may hold whatever they like."""
    assert one_select(text) == SELECTS[text]


@pytest.mark.parametrize("text", NO_SELECTS)
def test_what_is_not_one_select_is_refused(text: str) -> None:
    """With what is wrong about it."""
    with pytest.raises(ValueError) as refused:
        one_select(text)
    assert NO_SELECTS[text] in str(refused.value)


@given(text=st.text(alphabet="sel;'\"$ae-/*()\n\\ 1E", max_size=40))
def test_a_taken_statement_stays_within_the_parentheses_around_it(text: str) -> None:
    """Whatever is written: it is refused, or taken a second time as it is."""
    try:
        taken = one_select(f"SELECT {text}")
    except ValueError:
        return
    assert one_select(taken) == taken
    around = describing(taken)
    assert one_select(around) == around


def test_a_query_file_is_refused_by_name(tmp_path: Path) -> None:
    """It is missing, too long, of other bytes, or not one SELECT; the file is named and stays unquoted."""
    file = tmp_path / "a.sql"
    with pytest.raises(QueryUnusable, match=r"a\.sql \(No such file"):
        read_query(file)
    for content, problem in (
        (b"-" * (QUERY_BYTES_MAX + 1), "has more than 65536 bytes"),
        (b"SELECT '\xff'", "is not UTF-8"),
        (b"DROP TABLE a", "does not hold one SELECT: it begins with drop"),
    ):
        file.write_bytes(content)
        with pytest.raises(QueryUnusable, match=problem):
            read_query(file)
    file.write_text("\ufeffSELECT 1;\n", encoding="utf-8")
    assert read_query(file) == "SELECT 1"


NAMES = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=15
).filter(lambda name: len(name.encode()) <= 63)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.lists(NAMES, min_size=1, max_size=2),
    value=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
)
async def test_postgresql_reads_a_quoted_name_and_value_as_they_were(
    reader: Connection, names: list[str], value: str
) -> None:
    """Any letters at all: the server's own reading of names, and the value of the literal."""
    assert await reader.fetchval("SELECT parse_ident($1)", quote_table(names)) == names
    row = await reader.fetchrow(f"SELECT {quote_literal(value)}::text AS {quote_identifier(names[0])}")
    assert row is not None
    assert dict(row) == {names[0]: value}


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 64, "ü" * 32])
def test_what_can_be_no_name_is_refused(name: str) -> None:
    """PostgreSQL would cut a name of more bytes than it keeps, and mean another one."""
    with pytest.raises(ValueError):
        quote_identifier(name)
    with pytest.raises(ValueError):
        quote_literal("a\0b")


@given(minor=st.integers(), currency=st.sampled_from(sorted(EXPONENTS)))
def test_an_amount_is_read_as_it_was_written(minor: int, currency: str) -> None:
    """Of any size, in both units, with zeros after the last decimal; half a minor unit is unreadable."""
    decimals = EXPONENTS[currency]
    digits = str(abs(minor)).rjust(decimals + 1, "0")
    whole, fraction = digits[: len(digits) - decimals], digits[len(digits) - decimals :]
    major = f"{'-' if minor < 0 else ''}{whole}.{fraction}000"
    for text, unit in (
        (str(minor), AmountUnit.MINOR),
        (f"{minor}.000", AmountUnit.MINOR),
        (major, AmountUnit.MAJOR),
    ):
        assert read_amount(text, currency, unit, EXPONENTS) == minor
        assert read_amount(f"{text}5" if "." in text else f"{text}.5", currency, unit, EXPONENTS) is None


@pytest.mark.parametrize(
    "text", [None, "", "-", "1e3", "NaN", "Infinity", "$5", "1,5", " 1", "1.", "٣", "1" * (DIGITS_MAX + 1)]
)
def test_what_is_no_amount_is_unreadable(text: str | None) -> None:
    """Nothing is guessed, and nothing is 0."""
    assert read_amount(text, "EUR", AmountUnit.MINOR, EXPONENTS) is None
    assert read_amount("1", "XXX", AmountUnit.MINOR, EXPONENTS) is None
    assert read_amount("1", None, AmountUnit.MINOR, EXPONENTS) is None


DSN = "postgresql://auditor:open-sesame@db.example:5433/books"
Write = Callable[..., Path]


@pytest.fixture
def secret(tmp_path: Path) -> Write:
    """Write a secret file with a mode."""

    def write(content: str = DSN, mode: int = 0o600) -> Path:
        file = tmp_path / "dsn"
        file.write_text(content, encoding="utf-8")
        file.chmod(mode)
        return file

    return write


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_private_secret_is_read(secret: Write, mode: int) -> None:
    """Also through a link, as secrets are mounted; what is said of it has no user and no password."""
    file = secret(f"{DSN}\n", mode)
    link = file.with_name("link")
    link.symlink_to(file)
    assert read_dsn(link) == DSN
    assert place_of(DSN) == "db.example:5433/books"


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o640, 0o660, 0o602])
def test_a_secret_that_others_may_read_is_refused(secret: Write, mode: int) -> None:
    """Before it is read, with the file, its mode and the remedy, and without the secret."""
    with pytest.raises(SecretFileUnusable, match=f"may be read by others \\(mode {mode:04o}\\)") as refused:
        read_dsn(secret(mode=mode))
    assert "chmod 600" in refused.value.hint
    assert "sesame" not in str(refused.value)


def test_a_secret_of_root_may_be_read_by_a_group(secret: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a container gets it mounted; not by everybody, and not written by the group."""
    status = os.fstat

    def owned_by_root(descriptor: int) -> os.stat_result:
        found = list(status(descriptor))
        found[stat.ST_UID] = 0
        return os.stat_result(found)

    monkeypatch.setattr(os, "fstat", owned_by_root)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert read_dsn(secret(mode=0o640)) == DSN
    for mode in (0o644, 0o660):
        with pytest.raises(SecretFileUnusable):
            read_dsn(secret(mode=mode))


@pytest.mark.parametrize(
    "content",
    [
        "",
        "open-sesame",
        "mysql://a:open-sesame@b/c",
        "postgresql://a:open-sesame@b:x/c",
        f"{DSN} {DSN}",
        "p" * 5000,
        "ü",
    ],
)
def test_what_is_no_address_is_refused_unquoted(secret: Write, content: str) -> None:
    """The file is named; what stands in it may be a secret all the same."""
    with pytest.raises(SecretFileUnusable, match="does not hold the address") as refused:
        read_dsn(secret(content))
    assert "sesame" not in str(refused.value)


def test_a_pipe_or_a_folder_is_no_secret_file(tmp_path: Path) -> None:
    """Neither is waited for."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    for file in (pipe, tmp_path, tmp_path / "missing"):
        with pytest.raises(SecretFileUnusable):
            read_dsn(file)
