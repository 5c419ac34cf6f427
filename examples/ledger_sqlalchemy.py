"""A ledger on SQLAlchemy that knows how each write ended. Run it on a database that it may make a table in:

python examples/ledger_sqlalchemy.py postgresql+psycopg://user:password@127.0.0.1/database
"""

import sys

from sqlalchemy import BigInteger, create_engine, insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from moneypath.telemetry import Catalogue, setup
from moneypath.telemetry.integrations.sqlalchemy import observe_ledger

VOCABULARY = {
    "providers": ["north"],
    "currencies": ["EUR"],
    "checks": ["ledger_balance"],
    "schemes": ["visa"],
}
recorder = setup(Catalogue.build(VOCABULARY), service="checkout")


class Base(DeclarativeBase):
    """The base class of the mapping."""


class Entry(Base):
    """One side of a movement of money."""

    __tablename__ = "example_entry"
    __table_args__ = {"prefixes": ["TEMPORARY"]}  # noqa: RUF012 - as SQLAlchemy asks for it

    payment: Mapped[str] = mapped_column(primary_key=True)
    account: Mapped[str] = mapped_column(primary_key=True)
    amount: Mapped[int] = mapped_column(BigInteger)


def post(sessions: sessionmaker[Session], payment: str, amount: int) -> None:
    """Post a captured payment: the customer's amount becomes our debt to the merchant."""
    with sessions.begin() as session:
        session.info["ledger_kind"] = "posting"
        session.add(Entry(payment=payment, account="customer", amount=-amount))
        session.add(Entry(payment=payment, account="merchant", amount=amount))


def main(url: str) -> None:
    """Post one payment twice and print the metrics."""
    # One connection, or the temporary table would be another's.
    engine = create_engine(url, pool_size=1, max_overflow=0)
    sessions = sessionmaker(engine)
    observe_ledger(engine, recorder, sessions=sessions)
    Base.metadata.create_all(engine)
    post(sessions, "order-1", 4200)
    try:
        post(sessions, "order-1", 4200)
    except IntegrityError:
        print("order-1 was posted before")
    # Without a session, an option of the connection names the kind.
    with engine.connect().execution_options(ledger_kind="reversal") as connection, connection.begin():
        connection.execute(insert(Entry).values(payment="refund-1", account="customer", amount=100))
        connection.execute(insert(Entry).values(payment="refund-1", account="merchant", amount=-100))
    engine.dispose()
    for line in recorder.render().decode().splitlines():
        if line.startswith("moneypath_ledger_writes_total") and float(line.split()[-1]):
            print(line)


if __name__ == "__main__":
    main(sys.argv[1])
