"""The guide to SQL checks is followed on a real PostgreSQL, and its tables are those of the code."""

import asyncio
import re
import shutil
import typing
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from click.testing import CliRunner, Result
from tests.docs.test_guides_that_add import PROJECT, blocks, declare

from moneypath.checks import gauges
from moneypath.cli.main import moneypath
from moneypath.path.loader import load
from moneypath.path.parts import Target
from moneypath.path.ready_checks import ReadyCheck
from moneypath.path.source import parse_yaml
from moneypath.path.sql_checks import VIOLATIONS, VIOLATIONS_MONEY
from moneypath.telemetry.catalogue.vocabulary import CheckRunOutcome

from .foreign import Connection

GUIDE = (PROJECT / "docs" / "guides" / "sql-checks.md").read_text(encoding="utf-8")
CHECKS, TARGET = blocks(GUIDE, "yaml")
SCHEMA, RIGHTS, QUERY = blocks(GUIDE, "sql")
WHOLE = """
    INSERT INTO wallet.lines VALUES
        (md5('1')::uuid, 'ann', 'EUR', 500, now()), (md5('1')::uuid, 'world', 'EUR', -500, now());
    INSERT INTO wallet.balances VALUES ('ann', 'EUR', 500), ('world', 'EUR', -500);
    INSERT INTO wallet.payments VALUES (md5('2')::uuid, 'one', 'a-1', 'refunded', 4.50, 'EUR', now());
"""
BROKEN = """
    UPDATE wallet.lines SET amount = 600 WHERE account = 'ann';
    INSERT INTO wallet.payments VALUES (md5('3')::uuid, 'one', 'a-1', 'refunded', 4.50, 'EUR', now());
"""


@pytest.fixture
async def ledger(postgres_socket: Path) -> AsyncIterator[Connection]:
    """Make the ledger and the role of the guide."""
    owner = await asyncpg.connect(host=str(postgres_socket), user="owner", database="postgres")
    await owner.execute(f"{SCHEMA}{RIGHTS}{WHOLE}")
    yield owner
    await owner.execute("DROP SCHEMA wallet CASCADE; DROP ROLE ledger_auditor")
    await owner.close()


@pytest.fixture
def project(tmp_path: Path, postgres_socket: Path) -> Path:
    """Do what the guide says, but for the address of the database."""
    shutil.copy(PROJECT / "moneypath.yaml", tmp_path)
    declare(tmp_path, "checks", CHECKS)
    declare(tmp_path, "targets", TARGET)
    (tmp_path / "sql").mkdir()
    (tmp_path / "sql" / "refunded_twice.sql").write_text(QUERY, encoding="utf-8")
    secret = tmp_path / "secrets" / "ledger_dsn"
    secret.parent.mkdir()
    secret.write_text(f"postgresql://ledger_auditor@/postgres?host={postgres_socket}\n", encoding="utf-8")
    secret.chmod(0o600)
    return tmp_path


def once(project: Path) -> Result:
    """Run the checks of the guide once."""
    command = ["exporter", "--checks", str(project / "moneypath.yaml"), "--once"]
    return CliRunner().invoke(moneypath, command)


async def test_the_guide_finds_nothing_and_then_what_is_broken(ledger: Connection, project: Path) -> None:
    """Its role may read all that its checks read; each of three violations is found where it is."""
    whole = await asyncio.to_thread(once, project)
    assert whole.exit_code == 0, whole.output
    await ledger.execute(BROKEN)
    broken = await asyncio.to_thread(once, project)
    assert broken.exit_code == 1
    for check in ("wallet_entries", "wallet_balances", "wallet_refunds"):
        assert f"{check}: 1 violations" in broken.output
    assert re.search(r"a-1\s+450\s+EUR", broken.output)
    assert re.search(r"c4ca4238-\S+\s+100\s+EUR", broken.output)
    assert re.search(r"ann\s+-100\s+EUR", broken.output)


def test_the_declaration_of_the_guide_is_one(project: Path) -> None:
    """With its checks and its target."""
    path = load(project / "moneypath.yaml")
    assert [check.id for check in path.checks[-3:]] == ["wallet_entries", "wallet_balances", "wallet_refunds"]
    (target,) = (target for target in path.targets if target.job == gauges.SERVICE)
    assert isinstance(target, Target)
    assert parse_yaml(TARGET.strip()[2:], Target, file="guide") == target


def test_the_tables_of_the_guide_are_those_of_the_code() -> None:
    """Every ready check, every series, every outcome, and no other; every command is there."""
    kinds = {
        typing.get_args(model.model_fields["kind"].annotation)[0] for model in typing.get_args(ReadyCheck)
    }
    named = [name for name in re.findall(r"^\| `(\w+)` \|", GUIDE, flags=re.MULTILINE) if name != "kind"]
    series = {
        VIOLATIONS,
        VIOLATIONS_MONEY,
        gauges.UNREADABLE,
        gauges.OLDEST,
        gauges.LAST_SUCCESS,
        gauges.RUNS,
    }
    assert sorted(named) == sorted(kinds | series)
    assert all(f"`{outcome}`" in GUIDE for outcome in CheckRunOutcome)
    for model in typing.get_args(ReadyCheck):
        (kind,) = typing.get_args(model.model_fields["kind"].annotation)
        (row,) = (line for line in GUIDE.splitlines() if line.startswith(f"| `{kind}` |"))
        needed = [name for name, info in model.model_fields.items() if info.is_required() and name != "kind"]
        assert [name for name in needed if not re.search(rf"\b{name}\b", row)] == []
    for command in re.findall(r"moneypath exporter .*", "".join(blocks(GUIDE, "sh"))):
        options = re.findall(r"--[a-z-]+", command)
        known = {option for one in moneypath.commands["exporter"].params for option in one.opts}
        assert set(options) <= known
    links = re.findall(r"\]\(([^)#:]+)\)", GUIDE)
    assert [link for link in links if not (PROJECT / "docs" / "guides" / link).exists()] == []
