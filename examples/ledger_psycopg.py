"""A ledger on psycopg that knows how each write ended. Run it on a database that it may make a table in:

python examples/ledger_psycopg.py postgresql://user:password@127.0.0.1/database
"""

import sys

import psycopg

from moneypath.telemetry import Catalogue, Recorder, setup
from moneypath.telemetry.integrations.psycopg import ledger_write

VOCABULARY = {
    "providers": ["north"],
    "currencies": ["EUR"],
    "checks": ["ledger_balance"],
    "schemes": ["visa"],
}
recorder = setup(Catalogue.build(VOCABULARY), service="checkout")


def post(connection: psycopg.Connection, recorder: Recorder, payment: str, amount: int) -> None:
    """Post a captured payment: the customer's amount becomes our debt to the merchant."""
    # An AsyncConnection takes the same with `async with`.
    with ledger_write(connection, recorder, kind="posting"), connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO example_entry (payment, account, amount) VALUES (%s, %s, %s)",
            [(payment, "customer", -amount), (payment, "merchant", amount)],
        )


def main(dsn: str) -> None:
    """Post one payment twice and print the metrics."""
    # Without autocommit any query begins a transaction by itself, and the blocks would be savepoints in it.
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            "CREATE TEMPORARY TABLE example_entry ("
            "payment text, account text, amount bigint NOT NULL, PRIMARY KEY (payment, account))"
        )
        post(connection, recorder, "order-1", 4200)
        try:
            post(connection, recorder, "order-1", 4200)
        except psycopg.errors.UniqueViolation:
            print("order-1 was posted before")
    for line in recorder.render().decode().splitlines():
        if line.startswith("moneypath_ledger_writes_total") and float(line.split()[-1]):
            print(line)


if __name__ == "__main__":
    main(sys.argv[1])
