"""What containers need of our processes: to listen elsewhere than on loopback, and only when told."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from acquirers.errors import FlagsInvalid
from acquirers.settings import read_settings as read_flags
from moneypath.stack import secrets
from refpay.errors import StartRefused
from refpay.runtime import listen
from refpay.settings import read_settings

# An address of this machine that is neither the default nor reachable from outside.
OTHER = "127.0.0.2"
FLAGS = ["--name=north", "--dialect=north", "--port=0", "--book=b", "--secrets-folder=s"]


@asynccontextmanager
async def started(*command: str, cwd: Path) -> AsyncIterator[int]:
    """Start a process of ours and yield the port that it says it listens on."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(30):
            yield int(json.loads(await process.stdout.readline())["port"])
    finally:
        process.terminate()
        await process.communicate()


async def answers(host: str, port: int) -> bool:
    """Tell whether somebody listens there."""
    try:
        _, writer = await asyncio.open_connection(host, port)
    except ConnectionRefusedError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


@pytest.mark.parametrize(("arguments", "host"), [((), "127.0.0.1"), ((f"--host={OTHER}",), OTHER)])
async def test_pager_and_acquirer_listen_where_they_are_told(
    arguments: tuple[str, ...], host: str, tmp_path: Path
) -> None:
    """On loopback by default, else on the one address that was given, and nowhere else."""
    secrets.mint(tmp_path, ["pager_token", "role_eng_token", "north_api_key", "north_control_token"])
    common = ("--port=0", "--secrets-folder=.", *arguments)
    pager = ("moneypath.stack.pager", "--store=pages.jsonl", *common)
    acquirer = ("acquirers", "--name=north", "--dialect=north", "--book=north.sqlite3", *common)
    for command in (pager, acquirer):
        async with started(*command, cwd=tmp_path) as port:
            assert await answers(host, port)
            assert not await answers(OTHER if host != OTHER else "127.0.0.1", port)


def test_the_service_listens_where_it_is_told() -> None:
    """The socket is bound to the address of the settings, to loopback without one."""
    for host in ("127.0.0.1", OTHER):
        with listen(0, host) as listener:
            assert listener.getsockname()[0] == host
    with listen(0) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"


@pytest.mark.parametrize("host", ["localhost", "::1", "0.0.0.0:80", "256.0.0.1"])
def test_an_address_that_is_none_is_one_sentence(host: str, tmp_path: Path) -> None:
    """Names, ports and IPv6 are refused with what is allowed."""
    secrets.mint(tmp_path, ["refpay_app_password", "north_api_key", "south_api_key"])
    environment = {
        "REFPAY_SECRETS_FOLDER": str(tmp_path),
        "REFPAY_ACKNOWLEDGEMENTS_FOLDER": str(tmp_path),
        "REFPAY_DATABASE_URL": "postgresql://refpay_app@127.0.0.1:5432/refpay",
        "REFPAY_NORTH_URL": "http://127.0.0.1:1",
        "REFPAY_SOUTH_URL": "http://127.0.0.1:1",
    }
    assert read_settings(environment).listen_host == "127.0.0.1"
    with pytest.raises(StartRefused, match=r"REFPAY_LISTEN_HOST is .* allowed: an IPv4 address"):
        read_settings({**environment, "REFPAY_LISTEN_HOST": host})
    assert read_flags(FLAGS).host == "127.0.0.1"
    with pytest.raises(FlagsInvalid, match="--host"):
        read_flags([*FLAGS, f"--host={host}"])
