"""When NATS is started again: only if it says that it cannot write, and only on a disk with space."""

import asyncio
from pathlib import Path

import pytest
from aiohttp import web

from moneypath.stack import nats, nats_healing
from moneypath.stack.errors import ServerNotReady
from moneypath.stack.nats import Nats
from moneypath.stack.nats_healing import Patience, has_space, healing
from moneypath.stack.ports import PortPool
from moneypath.stack.supervisor import Supervisor

WRITE_ERROR = "JetStream stream '$G > EVENTS' write error: write 1.blk: no space left on device"
QUICK = Patience(least_free_bytes=1, every_seconds=0.01, after_start_seconds=0.01)
WITHIN_SECONDS = 10


class FakeSupervisor(Supervisor):
    """Counts restarts; the first ones fail as often as it is told."""

    def __init__(self, folder: Path, failures: int = 0) -> None:
        super().__init__(folder)
        self.failures, self.restarts = failures, 0
        self.restarted = asyncio.Event()

    async def restart(self, name: str) -> None:
        """Count, and fail or not."""
        self.restarts += 1
        if self.restarts > self.failures:
            self.restarted.set()
            return
        raise ServerNotReady(name, 1.0, "not ready", (), hint="none")


async def prepared(folder: Path, ports: PortPool) -> Nats:
    """Describe a server; the test answers for its monitoring."""
    reserved = ports.reserve("nats"), ports.reserve("monitoring")
    return await nats.prepare(folder, *reserved, user="refpay", password="password-of-nats")


class Health:
    """What the server says of itself; None is no answer."""

    def __init__(self, server: Nats, *errors: str) -> None:
        self.errors: tuple[str, ...] | None = errors
        self.asked = 0
        self.again = asyncio.Condition()
        self._port = int(server.monitoring_url.rsplit(":", 1)[1])

    async def __aenter__(self) -> "Health":
        app = web.Application()
        app.router.add_get("/healthz", self._answer)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def until_asked(self, times: int) -> None:
        """Wait until it was asked so often."""
        async with asyncio.timeout(WITHIN_SECONDS), self.again:
            await self.again.wait_for(lambda: self.asked >= times)

    async def _answer(self, _request: web.Request) -> web.Response:
        async with self.again:
            self.asked += 1
            self.again.notify_all()
        if self.errors is None:
            raise web.HTTPInternalServerError
        errors = [{"type": "STREAM", "error": error} for error in self.errors]
        return web.json_response({"status": "error", "errors": errors}, status=503 if errors else 200)


@pytest.mark.parametrize(
    "error",
    [
        "JetStream account '_test_393' could not be resolved",
        "JetStream stream '$G > EVENTS' could not be recovered",
    ],
)
async def test_a_server_that_is_merely_unhealthy_is_left_alone(
    error: str, tmp_path: Path, port_pool: PortPool
) -> None:
    """A start would not mend it, and would come again for ever."""
    server, supervisor = await prepared(tmp_path, port_pool), FakeSupervisor(tmp_path)
    async with Health(server, error) as health, healing(supervisor, server, lambda _: None, QUICK):
        await health.until_asked(5)
    assert supervisor.restarts == 0


async def test_a_server_that_cannot_write_is_started_once_and_said(
    tmp_path: Path, port_pool: PortPool
) -> None:
    """With its own words; when it is well again it is left alone."""
    server, supervisor = await prepared(tmp_path, port_pool), FakeSupervisor(tmp_path)
    said: list[str] = []
    async with Health(server, WRITE_ERROR) as health, healing(supervisor, server, said.append, QUICK):
        async with asyncio.timeout(WITHIN_SECONDS):
            await supervisor.restarted.wait()
        health.errors = ()
        begun, asked = supervisor.restarts, health.asked
        await health.until_asked(asked + 5)
        assert supervisor.restarts <= begun + 1
    assert WRITE_ERROR in said[0]


async def test_a_full_disk_comes_first(tmp_path: Path, port_pool: PortPool) -> None:
    """A start would fail to write again."""
    server, supervisor = await prepared(tmp_path, port_pool), FakeSupervisor(tmp_path)
    full = Patience(least_free_bytes=2**62, every_seconds=0.01)
    async with Health(server, WRITE_ERROR) as health, healing(supervisor, server, lambda _: None, full):
        await health.until_asked(5)
    assert supervisor.restarts == 0
    assert has_space(tmp_path, 1)
    assert not has_space(tmp_path, 2**62)


async def test_a_start_that_failed_is_tried_again_although_the_server_does_not_answer(
    tmp_path: Path, port_pool: PortPool
) -> None:
    """Our own start took it down, so it is ours to bring back."""
    server, supervisor = await prepared(tmp_path, port_pool), FakeSupervisor(tmp_path, failures=2)
    said: list[str] = []
    async with healing(supervisor, server, said.append, QUICK):
        async with Health(server, WRITE_ERROR) as health:
            await health.until_asked(1)
        async with asyncio.timeout(WITHIN_SECONDS):
            await supervisor.restarted.wait()
    assert supervisor.restarts >= 3
    assert any("did not start" in text for text in said)


async def test_a_server_that_is_away_is_left_alone(
    tmp_path: Path, port_pool: PortPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody stopped it, and that is not for healing to undo."""
    server, supervisor = await prepared(tmp_path, port_pool), FakeSupervisor(tmp_path)
    asked = asyncio.Semaphore(0)
    read = nats_healing.read_refusal

    async def counted(of: Nats) -> str | None:
        asked.release()
        return await read(of)

    monkeypatch.setattr(nats_healing, "read_refusal", counted)
    async with healing(supervisor, server, lambda _: None, QUICK):
        async with asyncio.timeout(WITHIN_SECONDS):
            for _ in range(5):
                await asked.acquire()
    assert supervisor.restarts == 0
