"""What all readers of a provider have in common: the token, the limits, and the sentence when it fails."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from moneypath.errors import MoneypathError
from moneypath.oracle import provider_book, received_requests, reports_taken
from moneypath.oracle.provider_book import read_provider_book
from moneypath.oracle.received_requests import ReceivedRequests, read_received_requests
from moneypath.oracle.reports_taken import read_reports_taken

TOKEN: Final = "control-token-of-this-test"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Reader:
    """One reader: its function, where it asks, an answer that it takes and what it makes of it."""

    read: Callable[[str, str], Awaitable[Any]]
    module: Any
    limit: str
    path: str
    answer: dict[str, object]
    value: object
    failing: str
    hint: str
    refused: str


READERS: Final = {
    "book": Reader(
        read_provider_book, provider_book, "PAGE_BYTES_MAX", "/truth/operations",
        {"provider": "north", "rows": [], "next": None}, (),
        "no answer: ClientConnectorError",
        "Check that the provider runs at this address, then audit again.",
        "Check that address and control token belong to the same provider.",
    ),
    "reports": Reader(
        read_reports_taken, reports_taken, "_BYTES_MAX", "/truth/reports",
        {"provider": "north", "served": [], "forgotten": 0}, (),
        "no list of served reports: ClientConnectorError: ",
        "Check that the provider runs and answers, then audit again.",
        "Check that the provider runs and answers, then audit again.",
    ),
    "requests": Reader(
        read_received_requests, received_requests, "_BYTES_MAX", "/truth/requests",
        {"since": 1.0, "received": {"capture": 2}}, ReceivedRequests(1.0, {"capture": 2}),
        "no count of received requests: ClientConnectorError",
        "Check that the provider runs at this address and counts what it receives.",
        "Check that the provider runs at this address and counts what it receives.",
    ),
}  # fmt: skip
each_reader = pytest.mark.parametrize("reader", READERS.values(), ids=READERS)


@asynccontextmanager
async def serving(path: str, handler: Handler, mounted: str = "") -> AsyncIterator[str]:
    """Serve a handler, and yield the provider's address."""
    app = web.Application()
    app.router.add_get(mounted + path, handler)
    async with TestServer(app) as server:
        yield f"{str(server.make_url('/')).rstrip('/')}{mounted}/"


def answering(reader: Reader) -> Handler:
    """Answer whoever has the token."""

    async def handle(request: web.Request) -> web.Response:
        known = request.headers.get("Authorization") == f"Bearer {TOKEN}"
        return web.json_response(reader.answer, status=200 if known else 401)

    return handle


@each_reader
async def test_a_provider_is_asked_with_the_token_wherever_it_is_mounted(reader: Reader) -> None:
    """Its address may have a path, and end with a slash."""
    async with serving(reader.path, answering(reader), mounted="/X") as url:
        assert await reader.read(url, TOKEN) == reader.value


@each_reader
async def test_another_status_is_refused_with_what_to_do(reader: Reader) -> None:
    """The status leads to the cause; the token stays out of the sentence."""
    async with serving(reader.path, answering(reader)) as url:
        with pytest.raises(MoneypathError, match="answered 401, needed: 200") as caught:
            await reader.read(url, "another-token")
    assert caught.value.hint == reader.refused
    assert url.rstrip("/") + reader.path in str(caught.value)
    assert "another-token" not in str(caught.value)


@each_reader
async def test_a_redirection_is_not_followed(reader: Reader) -> None:
    """The token would go wherever it leads."""

    async def elsewhere(request: web.Request) -> web.Response:
        if "again" in request.query:
            return web.json_response(reader.answer)
        raise web.HTTPFound(f"{reader.path}?again=1")

    async with serving(reader.path, elsewhere) as url:
        with pytest.raises(MoneypathError, match="answered 302, needed: 200"):
            await reader.read(url, TOKEN)


@each_reader
async def test_an_answer_is_bounded(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many bytes as are allowed are read, one more is refused."""
    size = len(json.dumps(reader.answer))
    async with serving(reader.path, answering(reader)) as url:
        monkeypatch.setattr(reader.module, reader.limit, size)
        assert await reader.read(url, TOKEN) == reader.value
        monkeypatch.setattr(reader.module, reader.limit, size - 1)
        with pytest.raises(MoneypathError, match=f"more than {size - 1} bytes|AnswerTooLarge"):
            await reader.read(url, TOKEN)


@each_reader
async def test_a_long_answer_is_read_whole(reader: Reader) -> None:
    """It comes in many pieces; blanks after it make it long enough."""

    async def handle(_: web.Request) -> web.Response:
        text = " " * 30_000 + json.dumps(reader.answer) + " " * 30_000
        return web.Response(text=text, content_type="application/json")

    async with serving(reader.path, handle) as url:
        assert await reader.read(url, TOKEN) == reader.value


@each_reader
async def test_a_dead_provider_is_said_with_what_to_do(reader: Reader) -> None:
    """Nobody listens."""
    with socket.socket() as held:
        # Bound and not listening: nobody else can be given the port meanwhile.
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        with pytest.raises(MoneypathError) as caught:
            await reader.read(url, TOKEN)
    assert str(caught.value).startswith(f"{url}{reader.path}: {reader.failing}")
    assert caught.value.hint == reader.hint


@asynccontextmanager
async def hanging(reader: Reader) -> AsyncIterator[str]:
    """Serve a provider that keeps silent."""
    released = asyncio.Event()

    async def hang(_: web.Request) -> web.Response:
        await released.wait()
        return web.Response()

    async with serving(reader.path, hang) as url:
        yield url
        released.set()


async def test_a_silent_provider_of_counts_is_given_up() -> None:
    """In the time that was asked for."""
    async with hanging(READERS["requests"]) as url, asyncio.timeout(20):
        with pytest.raises(MoneypathError, match="no count of received requests: TimeoutError"):
            await read_received_requests(url, TOKEN, timeout_seconds=0.1)


async def test_a_silent_provider_of_reports_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the time that the reader allows."""
    monkeypatch.setattr(reports_taken, "_ANSWER_SECONDS", 0.1)
    async with hanging(READERS["reports"]) as url, asyncio.timeout(20):
        with pytest.raises(MoneypathError, match="no list of served reports: TimeoutError"):
            await read_reports_taken(url, TOKEN)


async def test_a_silent_provider_of_a_book_is_given_up() -> None:
    """With how much was read of it, and what to do."""
    async with hanging(READERS["book"]) as url, asyncio.timeout(20):
        with pytest.raises(MoneypathError, match=r"no whole book within 0\.1 s \(0 rows read\)") as caught:
            await read_provider_book(url, TOKEN, timeout_seconds=0.1)
    assert caught.value.hint == "Check that the provider runs and answers, then audit again."
