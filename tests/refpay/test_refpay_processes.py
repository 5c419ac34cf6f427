"""The real processes: starts that are refused in one sentence, kills, and a database that comes and goes."""

import asyncio
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from tests.refpay.processes import WITHIN_SECONDS, process

if TYPE_CHECKING:
    from tests.refpay.conftest import Acquirer, RefpayDb

    from moneypath.stack.supervisor import Supervisor


async def refuse_start(module: str, environment: Mapping[str, str], *arguments: str) -> str:
    """Run a module that must not start; return the one sentence that it says."""
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *arguments, env=environment, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(WITHIN_SECONDS):
        _, said = await running.communicate()
    assert running.returncode == 2
    lines = said.decode().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("refpay: ")
    return lines[0]


@pytest.mark.parametrize("module", ["refpay.app", "refpay.worker"])
async def test_wrong_surroundings_are_one_sentence(
    module: str, environment: dict[str, str], tmp_path: Path
) -> None:
    """A missing variable, a missing secret, a closed database and a deadline that is too short are named."""
    said = await refuse_start(module, {**environment, "REFPAY_NORTH_URL": ""})
    assert "REFPAY_NORTH_URL is not set" in said
    said = await refuse_start(module, {**environment, "REFPAY_SECRETS_FOLDER": str(tmp_path)})
    assert str(tmp_path / "refpay_app_password") in said
    closed = "postgresql://refpay_app@127.0.0.1:1/refpay"
    said = await refuse_start(module, {**environment, "REFPAY_DATABASE_URL": closed})
    assert "database is not reachable" in said
    said = await refuse_start(module, {**environment, "REFPAY_OUTCOME_DEADLINE_SECONDS": "1"})
    assert "REFPAY_OUTCOME_DEADLINE_SECONDS" in said


async def test_a_taken_port_is_one_sentence(environment: dict[str, str]) -> None:
    """Both processes name the port that somebody else listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for module, name in (("refpay.app", "REFPAY_LISTEN_PORT"), ("refpay.worker", "REFPAY_WORKER_PORT")):
            assert f"Port {port}" in await refuse_start(module, {**environment, name: port})


async def test_a_database_without_the_schema_is_refused(environment: dict[str, str], db: "RefpayDb") -> None:
    """The sentence says which command brings the schema; and that command refuses nonsense."""
    connection = await db.connect("postgres")
    try:
        await connection.execute("UPDATE public.alembic_version SET version_num = '0000'")
    finally:
        await connection.close()
    assert "python -m refpay.db upgrade" in await refuse_start("refpay.app", environment)
    assert "Usage" in await refuse_start("refpay.db", environment, "downgrade")


async def test_upgrading_twice_changes_nothing(environment: dict[str, str]) -> None:
    """The second run finds nothing to do and succeeds."""
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "refpay.db", "upgrade", env=environment
    )
    async with asyncio.timeout(WITHIN_SECONDS):
        assert await running.wait() == 0


async def test_sigterm_ends_both_processes_orderly(environment: dict[str, str]) -> None:
    """They exit with 0."""
    for module in ("refpay.app", "refpay.worker"):
        async with process(module, environment) as (running, _):
            pass
        assert running.returncode == 0


async def test_a_kill_between_the_transactions_loses_nothing(
    environment: dict[str, str],
    db: "RefpayDb",
    make_client: "Callable[[str], Any]",
    acquirers: "Mapping[str, Acquirer]",
) -> None:
    """The API dies while its provider is silent; the worker finds the capture and posts it once."""
    async with process("refpay.app", environment) as (running, url), make_client(url) as client:
        payment = (await client.authorize()).body
        acquirer = acquirers[payment["provider"]]
        await acquirer.inject(kind="hang", latency_seconds=30, scope={"operations": ["capture"]})
        capturing = asyncio.create_task(client.post(f"/v1/payments/{payment['id']}/capture", key="killed"))
        await until(lambda: has_captured(acquirer, payment["merchant_reference"]))
        running.kill()
        with pytest.raises(aiohttp.ClientError):
            await capturing
    assert await db.rows("SELECT status FROM payments.operation WHERE kind = 'capture'") == [
        {"status": "started"}
    ]
    async with process("refpay.worker", environment):
        await until(lambda: is_settled(db))
    async with process("refpay.app", environment) as (_, url), make_client(url) as client:
        again = await client.post(f"/v1/payments/{payment['id']}/capture", key="killed")
        assert (again.status, again.replayed, again.body["captured_minor"]) == (200, True, 1000)
    assert len(await db.rows("SELECT 1 FROM ledger.entry WHERE kind <> 'hold'")) == 1


async def test_both_survive_a_killed_database(
    environment: dict[str, str], make_client: "Callable[[str], Any]", supervisor: "Supervisor"
) -> None:
    """503 while it is away, by themselves back to work when it is back; a retry of the same key succeeds."""
    async with (
        process("refpay.app", environment) as (running, url),
        process("refpay.worker", environment) as (worker, worker_url),
        make_client(url) as client,
        make_client(worker_url) as worker_client,
    ):
        assert (await client.authorize()).status == 201
        await supervisor.kill("postgres")
        answer = await client.post("/v1/payments", ORDER, key="while-away")
        assert (answer.status, answer.body["code"]) == (503, "database_unavailable")
        assert (await client.get("/readyz")).status == 503
        await supervisor.restart("postgres")

        async def works_again() -> bool:
            return bool((await client.post("/v1/payments", ORDER, key="while-away")).status == 201)

        await until(works_again)
        before = await worker_client.metric(CHECKED_AT, check="ledger_balance")

        async def checks_again() -> bool:
            return bool(await worker_client.metric(CHECKED_AT, check="ledger_balance") > before)

        await until(checks_again)
        assert (running.returncode, worker.returncode) == (None, None)


ORDER = {
    "merchant_reference": "order-while-away",
    "amount_minor": 5,
    "currency": "EUR",
    "card_token": "tok_555555_00ff",
}
CHECKED_AT = "moneypath_check_last_success_timestamp_seconds"


async def has_captured(acquirer: "Acquirer", reference: str) -> bool:
    """Return whether the acquirer's own book has the capture."""
    return any(row["kind"] == "capture" and row["reference"] == reference for row in await acquirer.truth())


async def is_settled(db: "RefpayDb") -> bool:
    """Return whether nothing is unresolved."""
    return not await db.rows("SELECT * FROM oracle.unresolved_operations", role="refpay_oracle")


async def until(condition: Callable[[], Any]) -> None:
    """Wait for a condition of another process, which has no event to await."""
    async with asyncio.timeout(WITHIN_SECONDS):
        while not await condition():  # noqa: ASYNC110 - another process has no event of ours
            await asyncio.sleep(0.02)
