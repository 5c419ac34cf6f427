"""The script that starts NATS in compose.yaml, with a real server and without a container engine."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from nats.aio.client import Client
from tests.stack.full_disk import SmallDisk, small_disk

from moneypath.stack.binaries import find
from moneypath.stack.ports import PortPool

SCRIPT = Path(__file__).parents[2] / "compose" / "nats.sh"
WITHIN_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Started:
    """A script that runs, and where its server answers."""

    process: asyncio.subprocess.Process
    url: str
    health: str

    async def status(self) -> int:
        """Return the status of its health, 0 if it does not answer."""
        try:
            async with aiohttp.ClientSession() as session, session.get(self.health) as answer:
                return answer.status
        except aiohttp.ClientError:
            return 0

    async def until(self, status: int) -> None:
        """Wait until its health has a status."""
        await _until(lambda: self._has(status))

    async def _has(self, status: int) -> bool:
        return await self.status() == status

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        """Connect to its server."""
        client = Client()
        await client.connect(self.url, allow_reconnect=False, error_cb=_ignore)
        try:
            yield client
        finally:
            await client.close()


async def _ignore(problem: Exception) -> None:
    """Leave it to the test."""


async def _until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(WITHIN_SECONDS):
        while not await condition():  # noqa: ASYNC110 - another process has no event of ours
            await asyncio.sleep(0.05)


@pytest.fixture
def ports() -> Iterator[PortPool]:
    """Reserve ports for one test."""
    with PortPool({}) as pool:
        yield pool


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """Mount a small disk."""
    with small_disk(tmp_path / "disk", 16) as mounted:
        yield mounted


@asynccontextmanager
async def started(folder: Path, ports: PortPool) -> AsyncIterator[Started]:
    """Run the script on a folder until the block ends."""
    port, monitoring = ports.reserve("nats"), ports.reserve("monitoring")
    file = folder / "nats.conf"
    file.write_text(
        f'listen: "127.0.0.1:{port}"\nhttp: "127.0.0.1:{monitoring}"\n'
        f'jetstream {{ store_dir: "{folder / "store"}", sync_interval: always }}\n'
    )
    health = f"http://127.0.0.1:{monitoring}/healthz"
    environment = {
        "PATH": f"{find('nats-server').path.parent}:{os.environ['PATH']}",
        "NATS_STORE": str(folder / "store"),
        "NATS_MONITORING_PORT": str(monitoring),
        "NATS_WATCH_SECONDS": "0.2",
        "NATS_LEAST_FREE_KIB": "4096",
    }
    process = await asyncio.create_subprocess_exec(
        "sh", SCRIPT, "--config", file, env=environment, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield Started(process, f"nats://127.0.0.1:{port}", health)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(WITHIN_SECONDS):
            await process.wait()


async def test_what_a_killed_start_left_is_deleted_and_nothing_else(tmp_path: Path, ports: PortPool) -> None:
    """The server is healthy, and a folder that only looks alike is still there."""
    store = tmp_path / "store" / "jetstream"
    (store / "$G" / "streams").mkdir(parents=True)
    (store / "_test_3939746363").touch()
    (store / "$G" / "kept_test_1").touch()
    async with started(tmp_path, ports) as nats:
        await nats.until(200)
    assert not (store / "_test_3939746363").exists()
    assert (store / "$G" / "kept_test_1").exists()


async def test_a_signal_ends_server_and_script(tmp_path: Path, ports: PortPool) -> None:
    """Whoever stops the container need not wait for a kill."""
    async with started(tmp_path, ports) as nats:
        await nats.until(200)
        nats.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(WITHIN_SECONDS):
            await nats.process.wait()
        assert await nats.status() == 0


async def test_after_a_full_disk_the_server_is_ended_once_it_has_space(
    disk: SmallDisk, ports: PortPool
) -> None:
    """Not while the disk is full; the next start takes messages and has those that were acknowledged."""
    async with started(disk.folder, ports) as nats:
        await nats.until(200)
        async with nats.client() as client:
            stream = client.jetstream(timeout=1)
            await stream.add_stream(name="KEPT", subjects=["kept"])
            await stream.publish("kept", b"42")
            disk.fill()
            with pytest.raises(TimeoutError):
                for _ in range(20):
                    await stream.publish("kept", b"x" * 4096)
                    disk.fill()
            last = (await stream.stream_info("KEPT")).state.last_seq
        await nats.until(503)
        # More than the three answers that end a server with space.
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2):
                await nats.process.wait()
        disk.free()
        async with asyncio.timeout(WITHIN_SECONDS):
            assert await nats.process.wait() == 1
    with PortPool({}) as more:
        async with started(disk.folder, more) as nats:
            await nats.until(200)
            async with nats.client() as client:
                stream = client.jetstream(timeout=1)
                assert (await stream.get_msg("KEPT", seq=1)).data == b"42"
                assert (await stream.publish("kept", b"43")).seq == last + 1
