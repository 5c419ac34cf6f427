"""Every process of the payment service is killed for real under load; every unit of money is accounted for.

And every settled operation is told exactly once. A process crash is not a power cut: what the operating
system had taken over survives this test.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
from nats.aio.client import Client

from moneypath import oracle
from moneypath.drills.ledger_audit import audit_ledger
from moneypath.drills.load import LoadPlan
from moneypath.drills.scenario import Load
from moneypath.path.loader import FILE_NAME, load
from moneypath.stack import secrets
from moneypath.stack.nats import CONFIG_FILE
from moneypath.stack.starters import LiveStack, LiveStackSettings
from moneypath.stack.tokens import TokenSource
from refstack.live_stack import running_stack

LOAD = Load(checkouts_per_second=20, users=20, card_ranges={"411111": 7, "550000": 3})
PATIENCE_SECONDS = 60.0
# Those that take payments twice, those that tell of them and settle them twice, all while messages flow.
VICTIMS = (
    "refpay-api",
    "refpay-worker",
    "postgres",
    "nats",
    "refpay-worker",
    "postgres",
    "nats",
    "refpay-api",
)
BEHIND = frozenset({"refpay-worker", "nats"})
QUEUES = ("notifications", "compliance_log")
UNTOLD = """
    SELECT count(*) FILTER (WHERE coalesce(told, 0) <> 1) AS untold,
           count(*) FILTER (WHERE coalesce(logged, 0) <> 1) AS unlogged, count(*) AS settled
    FROM payments.operation
    LEFT JOIN (SELECT operation_id, count(*) AS told FROM messages.notification GROUP BY 1) AS notification
        ON notification.operation_id = operation.id
    LEFT JOIN (SELECT (body::jsonb ->> 'operation_id')::uuid AS operation_id, count(*) AS logged
               FROM messages.compliance_entry GROUP BY 1) AS entry ON entry.operation_id = operation.id
    WHERE settled_at IS NOT NULL
"""
SPARE = """
    SELECT (SELECT count(*) FROM messages.notification) + (SELECT count(*) FROM messages.compliance_entry)
         - 2 * (SELECT count(*) FROM payments.operation WHERE settled_at IS NOT NULL)
         + (SELECT count(*) FROM messages.compliance_breaks)
"""


async def _until(holds: Callable[[], Awaitable[bool]], what: str) -> None:
    """Poll other processes: there is no event to await."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not await holds():
        assert time.monotonic() < deadline, f"waited {PATIENCE_SECONDS:g} s for {what}"
        await asyncio.sleep(0.1)


async def _more(acknowledgement_log: Path, count: int) -> None:
    """Wait for that many further successes in the client's own acknowledgement log."""

    def successes() -> int:
        return sum('"succeeded"' in line for line in acknowledgement_log.read_text().splitlines())

    wanted = successes() + count

    async def holds() -> bool:
        return successes() >= wanted

    await _until(holds, f"{count} more successes")


async def _query(live: LiveStack, statement: str) -> Any:
    password = secrets.read(live.endpoints.run_folder / "secrets" / "database", "postgres")
    port = live.endpoints.oracle_dsn.rsplit(":", 1)[1].split("/")[0]
    connection = await asyncpg.connect(f"postgresql://postgres:{password}@127.0.0.1:{port}/refpay")
    try:
        return await connection.fetchrow(statement)
    finally:
        await connection.close()


async def _inject(live: LiveStack, raw: bytes) -> None:
    """Publish what is no event, as a broken producer would."""
    folder = live.endpoints.run_folder
    found = re.search(r'^listen: "(.*)"$', (folder / "nats" / CONFIG_FILE).read_text(), re.MULTILINE)
    assert found is not None
    client = Client()
    try:
        password = secrets.read(folder / "secrets" / "nats", "nats_password")
        await client.connect(f"nats://{found[1]}", user="refpay", password=password, allow_reconnect=False)
        await client.jetstream().publish("events.payment.captured", raw)
    finally:
        await client.close()


async def _metrics(live: LiveStack) -> str:
    async with aiohttp.ClientSession() as session, session.get(f"{live.endpoints.worker}/metrics") as answer:
        return await answer.text()


async def _replay(live: LiveStack, queue: str, key: str) -> dict[str, Any]:
    """Run the operator action again and again with one key until it says that it is done."""
    client = live.endpoints.secrets_folder / "operations_client"
    tokens = TokenSource(live.endpoints.service, client, "operations:replay")
    headers = {"Authorization": await tokens.header_async(), "Idempotency-Key": key}
    last: dict[str, Any] = {}

    async def done() -> bool:
        nonlocal last
        url = f"{live.endpoints.service}/v1/operations/dead-letters/{queue}/replay"
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.post(url, json={"reason": "a drill"}) as answer,
        ):
            last = await answer.json()
            return answer.status == 200

    await _until(done, "the replay")
    return last


async def test_sigkill_of_every_process_in_turn_loses_and_doubles_nothing(
    project: Path, tmp_path: Path
) -> None:
    """The oracle is content, each operation has one notification and one entry; poison is replayed once."""
    settings = LiveStackSettings(load(project / FILE_NAME), tmp_path, scale=60)
    async with running_stack(settings, lambda _: None) as live:
        plan = LoadPlan(project, live.endpoints, tmp_path / "acknowledgements.jsonl", LOAD, 12)
        await live.supervisor.start(plan.spec())
        await _inject(live, b"poison")
        for victim in VICTIMS:
            await _more(plan.acknowledgement_log_file, 40)
            await live.supervisor.kill(victim)
            if victim in BEHIND:
                await _more(plan.acknowledgement_log_file, 20)  # payments go on without it
            await live.supervisor.restart(victim)
        await _more(plan.acknowledgement_log_file, 40)
        await live.supervisor.stop("load")
        await oracle.await_drained(live.endpoints.oracle_dsn, PATIENCE_SECONDS)

        async def told() -> bool:
            row = await _query(live, UNTOLD)
            return bool(row["settled"] > 100 and row["untold"] == row["unlogged"] == 0)

        await _until(told, "every operation to be told")
        assert (await _query(live, SPARE))[0] == 0
        verdict = await audit_ledger(live.endpoints, plan.acknowledgement_log_file)
        await _expect_letters(live, 1)
        # The letter is moved while the worker is killed, and asked for again afterwards with the same key.
        first = asyncio.create_task(_replay(live, "notifications", "replay-1"))
        await live.supervisor.kill("refpay-worker")
        await live.supervisor.restart("refpay-worker")
        assert (await first)["found"] == 1
        assert (await _replay(live, "notifications", "replay-1"))["id"] == (await first)["id"]
        await _expect_letters(live, 1)
        assert (await _query(live, "SELECT count(*), sum(found) FROM messages.replay"))[:] == (1, 1)
    assert verdict.whole, verdict.summary()
    assert verdict.rows.posted_captures >= 60


async def _expect_letters(live: LiveStack, number: int) -> None:
    """Wait until the worker shows that many letters of each queue, and nothing else waits."""

    async def shown() -> bool:
        text = await _metrics(live)
        return all(
            f'moneypath_dead_letter_depth{{queue="{queue}",reason="malformed"}} {number}' in text
            and f'moneypath_queue_depth{{queue="{queue}"}} 0' in text
            for queue in QUEUES
        )

    await _until(shown, f"{number} dead letters")
