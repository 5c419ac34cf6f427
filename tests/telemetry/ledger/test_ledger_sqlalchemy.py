"""Particular cases of SQLAlchemy: how the kind is named, and connections that are not returned."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import pytest_asyncio
import sqlalchemy
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, sessionmaker

from moneypath.stack import postgres
from moneypath.telemetry import Catalogue, MetricUnknown, Recorder, setup
from moneypath.telemetry.integrations.sqlalchemy import observe_ledger

Outcomes = Callable[[], dict[str, float]]
Read = Callable[..., float | None]
Rival = Any
INSERT = text("INSERT INTO entry VALUES (:id)")
COMMITTED = {"kind": "posting", "outcome": "committed"}


@pytest.fixture
def engine(server: postgres.Postgres, rival: Rival) -> Iterator[sqlalchemy.Engine]:
    """Return an engine over psycopg that is not observed yet."""
    address = server.dsn("postgres", "ledger").replace("postgresql:", "postgresql+psycopg:")
    made = sqlalchemy.create_engine(address, pool_size=1, max_overflow=0)
    yield made
    made.dispose()


@pytest_asyncio.fixture(loop_scope="session")
async def async_engine(server: postgres.Postgres, rival: Rival) -> AsyncIterator[AsyncEngine]:
    """Return an engine over asyncpg that is not observed yet."""
    address = server.dsn("postgres", "ledger").replace("postgresql:", "postgresql+asyncpg:")
    made = create_async_engine(address, pool_size=1, max_overflow=0)
    yield made
    await made.dispose()


async def test_transaction_without_a_kind_is_not_recorded(
    engine: sqlalchemy.Engine, recorder: Recorder, outcomes: Outcomes, drops: Outcomes
) -> None:
    """Other transactions of the service are not ledger writes, however they end."""
    maker = sessionmaker(engine)
    observe_ledger(engine, recorder, sessions=maker)
    with engine.begin() as connection:
        connection.execute(INSERT, {"id": 1})
    with maker.begin() as session:
        session.execute(INSERT, {"id": 2})
    with pytest.raises(ZeroDivisionError), maker.begin() as session:
        session.execute(INSERT, {"id": 3})
        raise ZeroDivisionError
    assert (outcomes(), drops()) == ({}, {})


async def test_option_of_an_engine_names_the_kind_of_all_its_transactions(
    engine: sqlalchemy.Engine, recorder: Recorder, outcomes: Outcomes
) -> None:
    """One engine of the pool writes postings, the other anything."""
    observe_ledger(engine, recorder)
    with engine.execution_options(ledger_kind="posting").begin() as connection:
        connection.execute(INSERT, {"id": 1})
    with engine.begin() as connection:
        connection.execute(INSERT, {"id": 2})
    assert outcomes() == {"committed": 1}


async def test_kind_may_be_named_within_the_transaction(
    engine: sqlalchemy.Engine, recorder: Recorder, outcomes: Outcomes
) -> None:
    """It counts whether the transaction then succeeds or fails."""
    observe_ledger(engine, recorder)
    with engine.begin() as connection:
        connection.execute(INSERT, {"id": 1})
        connection.execution_options(ledger_kind="posting")
    with pytest.raises(ZeroDivisionError), engine.begin() as connection:
        connection.execution_options(ledger_kind="posting")
        raise ZeroDivisionError
    assert outcomes() == {"committed": 1, "failed": 1}


async def test_connection_that_is_kept_is_counted_and_timed_only_when_it_returns(
    engine: sqlalchemy.Engine, recorder: Recorder, read: Read
) -> None:
    """The time of its COMMIT is unknown; a guess would distort the ledger's latency."""
    observe_ledger(engine, recorder)
    with engine.connect().execution_options(ledger_kind="posting") as connection:
        for entry in (1, 2, 3):
            connection.execute(INSERT, {"id": entry})
            connection.commit()
    assert read("moneypath_ledger_writes_total", **COMMITTED) == 3
    assert read("moneypath_ledger_write_duration_seconds_count", **COMMITTED) == 1


async def test_session_names_each_of_its_transactions(
    engine: sqlalchemy.Engine, recorder: Recorder, read: Read
) -> None:
    """A session posts and then reverses; it names the kind before or within the transaction."""
    maker = sessionmaker(engine)
    observe_ledger(engine, recorder, sessions=maker)
    with maker(info={"ledger_kind": "posting"}) as session:
        session.execute(INSERT, {"id": 1})
        session.commit()
        session.execute(INSERT, {"id": 2})
        session.info["ledger_kind"] = "reversal"
        session.commit()
    assert read("moneypath_ledger_writes_total", **COMMITTED) == 1
    assert read("moneypath_ledger_writes_total", kind="reversal", outcome="committed") == 1


async def test_sessions_of_others_are_not_listened_to(
    async_engine: AsyncEngine, recorder: Recorder, outcomes: Outcomes
) -> None:
    """Only the given session maker is observed, nothing global."""
    observed, other = async_sessionmaker(async_engine), async_sessionmaker(async_engine)
    observe_ledger(async_engine, recorder, sessions=observed)
    for entry, maker in enumerate((observed, other)):
        async with maker.begin() as session:
            session.info["ledger_kind"] = "posting"
            await session.execute(INSERT, {"id": entry})
    assert outcomes() == {"committed": 1}
    assert AsyncSession.sync_session_class is Session


async def test_maker_with_a_synchronous_maker_of_its_own_keeps_it(
    async_engine: AsyncEngine, recorder: Recorder, outcomes: Outcomes
) -> None:
    """SQLAlchemy's manual recommends one for the events of asynchronous sessions."""
    own = sessionmaker()
    maker = async_sessionmaker(async_engine, sync_session_class=own)
    observe_ledger(async_engine, recorder, sessions=maker)
    async with maker.begin() as session:
        session.info["ledger_kind"] = "posting"
        await session.execute(INSERT, {"id": 1})
    assert outcomes() == {"committed": 1}
    assert maker.kw["sync_session_class"] is own


async def test_session_that_flushes_in_commit_is_rejected(
    engine: sqlalchemy.Engine, recorder: Recorder, outcomes: Outcomes
) -> None:
    """`session.commit()` raises the violation before COMMIT is sent."""
    registry = sqlalchemy.orm.registry()
    table = sqlalchemy.Table(
        "entry", registry.metadata, sqlalchemy.Column("id", sqlalchemy.Integer, primary_key=True)
    )
    entry = type("Entry", (), {})
    registry.map_imperatively(entry, table)
    maker = sessionmaker(engine)
    observe_ledger(engine, recorder, sessions=maker)
    for expected in ({"committed": 1.0}, {"committed": 1.0, "rejected": 1.0}):
        with maker(info={"ledger_kind": "posting"}) as session:
            made = entry()
            made.id = 1
            session.add(made)
            try:
                session.commit()
            except sqlalchemy.exc.IntegrityError:
                assert "rejected" in expected
        assert outcomes() == expected


async def test_service_that_records_no_ledger_cannot_be_wired(
    engine: sqlalchemy.Engine, catalogue: Catalogue
) -> None:
    """The mistake is found at the start and not at the first payment."""
    with pytest.raises(MetricUnknown, match="ledger_writes"):
        observe_ledger(engine, setup(catalogue, service="ledger", metrics=()))


async def test_listener_that_fails_harms_nothing(
    engine: sqlalchemy.Engine, catalogue: Catalogue, rival: Rival
) -> None:
    """An error in a listener, even of the clock, does not reach the transaction."""

    def broken() -> float:
        raise ZeroDivisionError

    recorder = setup(catalogue, service="ledger", clock=broken)
    observe_ledger(engine, recorder)
    with engine.execution_options(ledger_kind="posting").begin() as connection:
        connection.execute(INSERT, {"id": 1})
    assert await rival.fetchval("SELECT count(*) FROM entry") == 1
    assert b'moneypath_telemetry_drops_total{reason="unfinished"} 1' in recorder.render()
