"""Every ledger example runs as it is and prints the documented metrics."""

import asyncio
import sys
from pathlib import Path

import pytest

from moneypath.stack import postgres

EXAMPLES = Path(__file__).parents[3] / "examples"
POSTED = [("posting", "committed"), ("posting", "rejected")]


@pytest.mark.parametrize(
    ("name", "scheme", "writes"),
    [
        ("ledger_asyncpg", "postgresql", POSTED),
        ("ledger_psycopg", "postgresql", POSTED),
        ("ledger_sqlalchemy", "postgresql+psycopg", [*POSTED, ("reversal", "committed")]),
    ],
)
async def test_ledger_example_runs(
    server: postgres.Postgres, name: str, scheme: str, writes: list[tuple[str, str]]
) -> None:
    """It ends by itself, without a Python warning."""
    address = server.dsn("postgres", "ledger").replace("postgresql", scheme, 1)
    run = await asyncio.create_subprocess_exec(
        sys.executable,
        "-W",
        "error",
        str(EXAMPLES / f"{name}.py"),
        address,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        output, errors = await run.communicate()
    assert run.returncode == 0, errors.decode()
    said, *printed = output.decode().splitlines()
    assert said == "order-1 was posted before"
    series = [
        f'moneypath_ledger_writes_total{{kind="{kind}",outcome="{outcome}"}}' for kind, outcome in writes
    ]
    assert [line.rsplit(" ", 1)[0] for line in printed] == series
    assert {float(line.rsplit(" ", 1)[1]) for line in printed} == {1}
