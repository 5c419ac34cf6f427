"""What the chain of the audit trail costs: recording with it and without, sealing, keeping, verifying.

Run `python benchmarks/audit_chain.py --records 10000 --records 100000`. A real server. Recording is measured
on the schema before the chain (0104) and on that of today, interleaved in one run: processor time of
PostgreSQL, medians; trust the ratio.
"""

import asyncio
import statistics
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any, Final

import asyncpg

import measuring
from ledger_book import Server, open_server, processor_seconds
from refpay.audit.sealing import AUDIT, verify_trail
from refpay.clock import SystemClock
from refpay.db.pool import Database
from refpay.db.upgrade import upgrade_schema
from refpay.seals.sealing import ChainWatch, Sealer, seal_log_of

BEFORE: Final = "0104"
TODAY: Final = "0105"
_RECORD: Final = """
    CREATE PROCEDURE public.record(times integer) LANGUAGE plpgsql AS $$
    BEGIN
        FOR i IN 1..times LOOP
            INSERT INTO audit.event (
                id, at, actor, action, subject_kind, subject_id, before, after, correlation_id)
            VALUES (uuidv7(), clock_timestamp(), 'api', 'capture.succeeded', 'operation', uuidv7()::text,
                '{"status": "started"}', '{"status": "succeeded", "amount_minor": 1000}', uuidv7()::text);
            COMMIT;
        END LOOP;
    END $$
"""
_TRAIL: Final = """
    INSERT INTO audit.event (id, at, actor, action, subject_kind, subject_id, before, after, correlation_id)
    SELECT uuidv7(), clock_timestamp(), 'api', 'capture.succeeded', 'operation', uuidv7()::text,
           '{"status": "started"}', '{"status": "succeeded", "amount_minor": 1000}', uuidv7()::text
    FROM generate_series(1, $1)
"""


async def compare_recording(server: Server, rounds: int, records: int) -> list[measuring.Row]:
    """Return a row for each schema: processor time a record."""
    connections: dict[str, Any] = {}
    for revision in (BEFORE, TODAY):
        name = f"recording_{revision}"
        await server.administer(f"CREATE DATABASE {name} OWNER refpay_owner")
        await upgrade_schema(server.settings(name, "refpay_owner"), revision)
        connections[revision] = await server.superuser(name)
        await connections[revision].execute(_RECORD)
    times: dict[str, list[float]] = {revision: [] for revision in connections}
    for _ in range(rounds + 1):
        for revision, connection in connections.items():
            begun = await processor_seconds(connection)
            await connection.execute(f"CALL public.record({records})")
            times[revision].append(1e6 * (await processor_seconds(connection) - begun) / records)
    for connection in connections.values():
        await connection.close()
    # The first round warms up.
    medians = {revision: statistics.median(found[1:]) for revision, found in times.items()}
    return [
        measuring.Row("recording before", medians[BEFORE], "us CPU a record"),
        measuring.Row("recording with the chain", medians[TODAY], "us CPU a record"),
        measuring.Row("recording", medians[TODAY] / medians[BEFORE], "x before"),
    ]


async def measure_trail(server: Server, records: int) -> list[measuring.Row]:
    """Return what a trail of so many records costs."""
    await server.database("trail", "today")
    superuser = await server.superuser("trail")
    for _ in range(-(-records // 1_000)):
        await superuser.execute(_TRAIL.replace("$1", str(min(records, 1_000))))
    database = await Database.connect(server.settings("trail", "refpay_app"), most_connections=2)
    with TemporaryDirectory() as folder:
        rows = await _measure_chain(superuser, database, records, Path(folder))
    await database.close()
    await superuser.close()
    return [measuring.Row(f"{records} records: {name}", *each) for name, each in rows.items()]


async def _measure_chain(
    superuser: "asyncpg.Connection[asyncpg.Record]", database: Database, records: int, folder: Path
) -> dict[str, tuple[float, str]]:
    clock = SystemClock()
    sealer = Sealer(database, AUDIT, clock=clock, folder=folder)
    watch = ChainWatch(database, AUDIT, clock=clock, folder=folder)
    begun = perf_counter()
    while await sealer.run_once():
        pass
    sealing = perf_counter() - begun
    rounds = []
    complete = False
    while not complete:
        begun = perf_counter()
        found = await watch.run_once()
        rounds.append(perf_counter() - begun)
        complete = found.complete
        if found.findings:
            raise SystemExit("the trail is not as it was made")
    log = seal_log_of(AUDIT, folder).file
    begun = perf_counter()
    restarted = await ChainWatch(database, AUDIT, clock=clock, folder=folder).run_once()
    answer = perf_counter() - begun
    if not restarted.complete:
        raise SystemExit("a restarted watch says nothing")
    begun = perf_counter()
    async with superuser.transaction(isolation="repeatable_read", readonly=True):
        report = await verify_trail(superuser, kept=log)
    verifying = perf_counter() - begun
    if report.findings or report.entries != records or report.compared != report.seals:
        raise SystemExit(f"the trail is not as it was made: {report.findings[:3]}")
    return {
        "sealing": (records / sealing, "records/s"),
        "a round of the check": (1000 * statistics.median(rounds), "ms"),
        "the longest round": (1000 * max(rounds), "ms"),
        "the answer after a restart": (1000 * answer, "ms"),
        "verify": (records / verifying, "records/s"),
        "kept outside": (log.stat().st_size / records, "bytes a record"),
    }


async def measure(rounds: int, entries: int, trails: list[int]) -> list[measuring.Row]:
    """Return the rows of recording and of each trail."""
    async with open_server() as server:
        rows = await compare_recording(server, rounds, entries) if rounds else []
        for records in trails:
            rows += await measure_trail(server, records)
            await server.administer("DROP DATABASE trail WITH (FORCE)")
        return rows


def main() -> None:
    """Measure and print."""
    parser = measuring.parser(
        "What the chain of the audit trail costs.", rounds=1, entries=3000, records=[1000]
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--entries", type=int, default=3000, help="a round")
    parser.add_argument("--records", type=int, action="append", help="of a trail; may come several times")
    given = parser.parse_args()
    measuring.tell(asyncio.run(measure(given.rounds, given.entries, given.records or [])), given.json)


if __name__ == "__main__":
    main()
