"""Whoever connects to an acquirer or the pager and sends no end takes nobody else's place for long."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from types import ModuleType
from typing import cast

import pytest
from aiohttp import ClientSession, web

import acquirers.listening
import moneypath.stack.pager.listening

AWAITED_SECONDS = 10.0
SERVERS = (acquirers.listening, moneypath.stack.pager.listening)


@pytest.fixture(params=SERVERS, ids=[one.__name__ for one in SERVERS])
def server(request: pytest.FixtureRequest) -> ModuleType:
    """Return the module that listens: acquirers share no code with the platform."""
    return cast(ModuleType, request.param)


@contextlib.asynccontextmanager
async def serving(server: ModuleType, connections_max: int = 100) -> AsyncIterator[int]:
    """Serve one endpoint that says yes."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="yes")

    app = web.Application()
    app.router.add_get("/", answer)
    async with server.listening(
        app, "127.0.0.1", 0, stop_seconds=0.1, connections_max=connections_max
    ) as port:
        yield port


async def read_to_end(reader: asyncio.StreamReader) -> bytes:
    """Return what comes until the server closes the connection; a reset is an end as well."""
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(AWAITED_SECONDS):
            return await reader.read()
    return b""


async def is_answered(port: int) -> bool:
    """Tell whether an honest client is."""
    async with ClientSession() as session, session.get(f"http://127.0.0.1:{port}/") as answer:
        return await answer.text() == "yes"


@pytest.mark.parametrize("begin", [b"", b"GET / HTT", b"GET / HTTP/1.1\r\nhost: x\r\n\r\nGET / HTT"])
async def test_a_request_has_its_time(
    server: ModuleType, begin: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "WAIT_SECONDS", 0.05)
    async with serving(server) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(begin)
        assert (await read_to_end(reader)).count(b" 200 ") == begin.count(b"\r\n\r\n")
        writer.close()


async def test_a_header_without_an_end_is_refused(server: ModuleType) -> None:
    async with serving(server) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nx: ")
        taken = 0
        with contextlib.suppress(ConnectionError):
            while taken < 100_000_000:
                writer.write(b"a" * 1000)
                await writer.drain()
                taken += 1000
        await read_to_end(reader)
        assert taken < 20_000_000  # what the buffers of a socket hold
        assert await is_answered(port)


async def test_places_are_counted_and_given_back(server: ModuleType) -> None:
    async with serving(server, connections_max=2) as port:
        streams = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        for reader, writer in streams:
            writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            assert b" 200 " in await reader.readuntil(b"yes")
        refused, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await read_to_end(refused) == b""
        streams[0][1].write(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        assert b"yes" in await read_to_end(streams[0][0])
        assert await is_answered(port)
        for _, one in [*streams, (refused, writer)]:
            one.close()
