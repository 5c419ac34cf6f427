"""The wallet's tables. A movement is one row with two sides; a purse keeps its balance beside."""

import uuid
from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, DateTime, Engine, ForeignKey, Index, String, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

# The lines of a purse: what came in and what went out of it. Banks have no balance with us.
PURSE_LINE = """
CREATE OR REPLACE VIEW purse_line AS
SELECT to_account AS purse, amount, currency, booked_at FROM movement WHERE to_account LIKE 'p-%'
UNION ALL
SELECT from_account, -amount, currency, booked_at FROM movement WHERE from_account LIKE 'p-%'
"""


class Base(DeclarativeBase):
    """The base class of the mapping."""


class Purse(Base):
    """A customer's money in one currency, in cents. `held` is promised to withdrawals under way."""

    __tablename__ = "purse"
    __table_args__ = (CheckConstraint("balance >= held AND held >= 0"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    holder: Mapped[str] = mapped_column(String(100))
    currency: Mapped[str] = mapped_column(String(3))
    balance: Mapped[int] = mapped_column(BigInteger, default=0)
    held: Mapped[int] = mapped_column(BigInteger, default=0)


class BankOrder(Base):
    """What a bank was asked to do: collect money for a purse, or pay it out of one."""

    __tablename__ = "bank_order"
    __table_args__ = (Index("bank_order_open", "placed_at", postgresql_where=text("state = 'SENT'")),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(12))
    purse_id: Mapped[str] = mapped_column(ForeignKey("purse.id"))
    bank: Mapped[str] = mapped_column(String(20))
    reference: Mapped[str] = mapped_column(String(80))
    request_key: Mapped[str] = mapped_column(String(80), unique=True)
    amount: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str] = mapped_column(String(3))
    state: Mapped[str] = mapped_column(String(10))
    placed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    decided_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class Movement(Base):
    """Money that went from one account to another. A bank's account is called `bank/` and its name."""

    __tablename__ = "movement"
    __table_args__ = (CheckConstraint("amount > 0"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(12))
    from_account: Mapped[str] = mapped_column(String(40))
    to_account: Mapped[str] = mapped_column(String(40))
    amount: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str] = mapped_column(String(3))
    order_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("bank_order.id"), unique=True)
    request_key: Mapped[str] = mapped_column(String(80), unique=True)
    booked_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), index=True)


class RequestKey(Base):
    """A key that a caller has used, for what, and the answer once there is a final one."""

    __tablename__ = "request_key"

    key: Mapped[str] = mapped_column(String(80), primary_key=True)
    asked: Mapped[str] = mapped_column(String(200))
    answer: Mapped[dict[str, object] | None] = mapped_column(JSONB)


class BankSwitch(Base):
    """Whether new orders go to a bank."""

    __tablename__ = "bank_switch"

    bank: Mapped[str] = mapped_column(String(20), primary_key=True)
    open: Mapped[bool] = mapped_column(default=True)
    why: Mapped[str] = mapped_column(String(200), default="")


class OperatorStep(Base):
    """What an operator did or asked for, and who agreed."""

    __tablename__ = "operator_step"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    step: Mapped[str] = mapped_column(String(20))
    subject: Mapped[str] = mapped_column(String(80))
    why: Mapped[str] = mapped_column(String(200))
    request_key: Mapped[str] = mapped_column(String(80), unique=True)
    state: Mapped[str] = mapped_column(String(10))
    asked_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


# The purse of our own probes.
CANARY_PURSE = "INSERT INTO purse VALUES ('p-canary', 'canary', 'EUR', 0, 0) ON CONFLICT DO NOTHING"


def create(engine: Engine, *, writer: str, reader: str) -> None:
    """Create what is missing, and give the service its rights, and the auditor those to read."""
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        for statement in (PURSE_LINE, CANARY_PURSE):
            connection.execute(text(statement))
        connection.execute(text(f'GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO "{writer}"'))
        connection.execute(text(f'GRANT SELECT ON ALL TABLES IN SCHEMA public TO "{reader}"'))
