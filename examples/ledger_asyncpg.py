"""A ledger on asyncpg that knows how each write ended. Run it on a database that it may make a table in:

python examples/ledger_asyncpg.py postgresql://user:password@127.0.0.1/database
"""

import asyncio
import sys

import asyncpg

from moneypath.telemetry import Catalogue, Recorder, setup
from moneypath.telemetry.integrations.asyncpg import ledger_write

VOCABULARY = {
    "providers": ["north"],
    "currencies": ["EUR"],
    "checks": ["ledger_balance"],
    "schemes": ["visa"],
}
recorder = setup(Catalogue.build(VOCABULARY), service="checkout")


async def post(connection: asyncpg.Connection, recorder: Recorder, payment: str, amount: int) -> None:
    """Post a captured payment: the customer's amount becomes our debt to the merchant."""
    async with ledger_write(connection, recorder, kind="posting"):
        await connection.executemany(
            "INSERT INTO example_entry (payment, account, amount) VALUES ($1, $2, $3)",
            [(payment, "customer", -amount), (payment, "merchant", amount)],
        )


async def main(dsn: str) -> None:
    """Post one payment twice and print the metrics."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(
            "CREATE TEMPORARY TABLE example_entry ("
            "payment text, account text, amount bigint NOT NULL, PRIMARY KEY (payment, account))"
        )
        await post(connection, recorder, "order-1", 4200)
        try:
            await post(connection, recorder, "order-1", 4200)
        except asyncpg.UniqueViolationError:
            print("order-1 was posted before")
    finally:
        await connection.close()
    for line in recorder.render().decode().splitlines():
        if line.startswith("moneypath_ledger_writes_total") and float(line.split()[-1]):
            print(line)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
