"""A socket without a token takes neither bytes, seconds nor places from those who pay."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Iterable
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message, Receive, Scope, Send

from refpay.connections import BoundedHttpProtocol, ConnectionLimits
from refpay.runtime import listen, make_server

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]
GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
LONG_SECONDS = 60.0
SHORT_SECONDS = 0.05
AWAITED_SECONDS = 10.0
LARGE_BYTES = 20_000_000


class Service:
    """Answers with the length of the body; a request to /held waits until `release` is set."""

    def __init__(self) -> None:
        self.release, self.held = asyncio.Event(), asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        size = 0
        more = True
        while more:
            message: Message = await receive()
            if message["type"] == "http.disconnect":
                return
            size += len(message["body"])
            more = message["more_body"]
        if scope["path"] == "/held":
            self.held.set()
            await self.release.wait()
        body = b"x" * LARGE_BYTES if scope["path"] == "/large" else str(size).encode()
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class Served:
    """A server within limits on loopback."""

    def __init__(self, port: int, service: Service) -> None:
        self.service, self._port = service, port
        self._writers: list[asyncio.StreamWriter] = []

    async def connect(self, *sent: bytes) -> Stream:
        """Open a connection and send."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers.append(writer)
        for part in sent:
            writer.write(part)
            await writer.drain()
        return reader, writer

    def close(self) -> None:
        """Close what was opened."""
        for writer in self._writers:
            writer.close()


@contextlib.asynccontextmanager
async def serving(
    *, frame_bytes: int = 32_768, request_seconds: float = LONG_SECONDS, connections: int = 100
) -> AsyncIterator[Served]:
    """Serve within these limits."""

    class Protocol(BoundedHttpProtocol):
        limits: ClassVar = ConnectionLimits(frame_bytes, request_seconds, connections)

    service = Service()
    with contextlib.closing(listen(0)) as listener:
        server = make_server(service, protocol=Protocol)
        running = asyncio.create_task(server.serve(sockets=[listener]))
        served = Served(listener.getsockname()[1], service)
        try:
            yield served
        finally:
            service.release.set()
            served.close()
            server.stop()
            server.force_exit = True
            await running


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Return the status and the body of the next answer."""
    async with asyncio.timeout(AWAITED_SECONDS):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        return int(head.split()[1]), await reader.readexactly(length)


async def read_to_end(reader: asyncio.StreamReader) -> bytes:
    """Return all that comes until the server closes the connection; a reset is an end as well."""
    received = b""
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(AWAITED_SECONDS):
            while part := await reader.read(65_536):
                received += part
    return received


async def send_until_closed(stream: Stream, parts: Iterable[bytes]) -> int:
    """Send until the server closes the connection; return how many bytes were taken."""
    _, writer = stream
    taken = 0
    with contextlib.suppress(ConnectionError):
        for part in parts:
            writer.write(part)
            await writer.drain()
            taken += len(part)
    return taken


@pytest.mark.parametrize(
    ("begin", "part"),
    [
        (b"GET / HTTP/1.1\r\nx: ", b"a" * 1000),
        (b"GET /", b"a" * 1000),
        (b"GET / HTTP/1.1\r\n", b"x: a\r\n" * 200),
        (b"", b"\r\n" * 500),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1;x=", b"a" * 1000),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx: ", b"a" * 1000),
    ],
    ids=["one header", "the target", "many headers", "empty lines", "a chunk's extension", "a trailer"],
)
async def test_a_request_that_never_begins_its_body_is_not_read_for_ever(begin: bytes, part: bytes) -> None:
    async with serving(frame_bytes=8192) as served:
        stream = await served.connect(begin)
        taken = await send_until_closed(stream, (part for _ in range(100_000)))
        answer = await read_to_end(stream[0])
        assert taken < 20_000_000  # what the buffers of a socket hold, of a hundred million
        if b"chunked" not in begin and answer:
            assert answer.startswith(b"HTTP/1.1 431 ")
        reader, _ = await served.connect(GET)
        assert await read_answer(reader) == (200, b"0")


@pytest.mark.parametrize(
    "begin",
    [
        b"",
        b"GET / HTT",
        b"\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\nab",
        GET + b"GET / HTT",
        GET + b"POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\nab",
    ],
    ids=["nothing", "a line", "an empty line", "a body", "a later line", "a later body"],
)
async def test_a_request_has_its_time(begin: bytes) -> None:
    async with serving(request_seconds=SHORT_SECONDS) as served:
        reader, _ = await served.connect(begin)
        answer = await read_to_end(reader)
        if b"length" not in begin:
            assert b"HTTP/1.1 408 " in answer
        assert answer.count(b"HTTP/1.1 200 ") == begin.count(GET)


async def test_empty_lines_between_requests_do_not_keep_a_connection() -> None:
    async with serving(request_seconds=SHORT_SECONDS) as served:
        reader, writer = await served.connect(GET)
        assert await read_answer(reader) == (200, b"0")
        writer.write(b"\r\n")
        assert (await read_to_end(reader)).startswith(b"HTTP/1.1 408 ")


async def test_what_the_service_takes_is_not_the_client_s_time() -> None:
    async with serving(request_seconds=SHORT_SECONDS) as served:
        reader, _ = await served.connect(b"GET /held HTTP/1.1\r\nhost: x\r\n\r\n")
        await served.service.held.wait()
        other, _ = await served.connect()
        assert b" 408 " in await read_to_end(other)  # more than the time has passed
        served.service.release.set()
        assert await read_answer(reader) == (200, b"0")


async def test_half_a_request_behind_one_that_is_served_waits_for_it() -> None:
    async with serving(request_seconds=1.0) as served:
        reader, writer = await served.connect(b"GET /held HTTP/1.1\r\n\r\n" + GET + b"GET / HTT")
        await served.service.held.wait()
        other, _ = await served.connect()
        assert b" 408 " in await read_to_end(other)
        served.service.release.set()
        assert [await read_answer(reader), await read_answer(reader)] == [(200, b"0"), (200, b"0")]
        writer.write(b"P/1.1\r\n\r\n")
        assert await read_answer(reader) == (200, b"0")


async def test_an_answer_that_nobody_reads_is_given_up() -> None:
    async with serving(request_seconds=SHORT_SECONDS) as served:
        reader, _ = await served.connect(b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n")
        later, _ = await served.connect(b"GET /held HTTP/1.1\r\nhost: x\r\n\r\n")
        await served.service.held.wait()
        for _ in range(3):
            other, _ = await served.connect()
            assert b" 408 " in await read_to_end(other)
        assert len(await read_to_end(reader)) < LARGE_BYTES
        served.service.release.set()
        assert await read_answer(later) == (200, b"0")


async def test_whoever_waits_longest_makes_place() -> None:
    async with serving(connections=2) as served:
        first, _ = await served.connect()
        second, writer = await served.connect(GET)
        assert await read_answer(second) == (200, b"0")
        third, _ = await served.connect(GET)
        assert await read_answer(third) == (200, b"0")
        assert await read_to_end(first) == b""
        writer.write(GET)
        assert await read_answer(second) == (200, b"0")
        fourth, _ = await served.connect(GET)
        assert await read_answer(fourth) == (200, b"0")
        assert await read_to_end(third) == b""  # the second has waited since a later answer


async def test_who_was_answered_before_stays_longer_than_who_asked_for_nothing() -> None:
    async with serving(connections=2) as served:
        honest, writer = await served.connect(GET)
        assert await read_answer(honest) == (200, b"0")
        idle, _ = await served.connect()
        newcomer, _ = await served.connect(GET)
        assert await read_answer(newcomer) == (200, b"0")
        assert await read_to_end(idle) == b""
        writer.write(GET)
        assert await read_answer(honest) == (200, b"0")


async def test_who_is_served_keeps_the_place() -> None:
    async with serving(connections=1) as served:
        reader, _ = await served.connect(b"GET /held HTTP/1.1\r\nhost: x\r\n\r\n")
        await served.service.held.wait()
        late, _ = await served.connect(GET)
        assert await read_to_end(late) == b""
        served.service.release.set()
        assert await read_answer(reader) == (200, b"0")
        after, _ = await served.connect(GET)
        assert await read_answer(after) == (200, b"0")


async def test_every_place_is_given_back() -> None:
    async with serving(connections=3, request_seconds=SHORT_SECONDS) as served:
        for _ in range(10):
            for begin in (b"GET / HTT", b"nonsense\r\n\r\n", GET):
                reader, writer = await served.connect(begin)
                writer.write_eof()
                await read_to_end(reader)
        streams = [await served.connect(b"GET /held HTTP/1.1\r\nhost: x\r\n\r\n") for _ in range(3)]
        served.service.release.set()
        assert [await read_answer(reader) for reader, _ in streams] == [(200, b"0")] * 3


REQUESTS = st.lists(
    st.one_of(
        st.just((GET, b"0")),
        st.binary(max_size=3000).map(
            lambda body: (
                b"POST / HTTP/1.1\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body),
                b"%d" % len(body),
            )
        ),
        st.lists(st.binary(min_size=1, max_size=40), max_size=20).map(
            lambda chunks: (
                b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"
                + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
                + b"0\r\n\r\n",
                b"%d" % sum(map(len, chunks)),
            )
        ),
    ),
    min_size=1,
    max_size=6,
)


@given(requests=REQUESTS, cuts=st.lists(st.integers(0, 20_000), max_size=12))
def test_no_honest_writing_of_requests_meets_a_limit(
    requests: list[tuple[bytes, bytes]], cuts: list[int]
) -> None:
    """Bodies of any size and requests in any parts are answered, one after the other, by one connection."""

    async def exchange() -> list[tuple[int, bytes]]:
        whole = b"".join(request for request, _ in requests)
        places = sorted({0, len(whole), *(cut % len(whole) for cut in cuts)})
        async with serving(frame_bytes=400) as served:
            stream = await served.connect()
            for begin, end in itertools.pairwise(places):
                stream[1].write(whole[begin:end])
                await asyncio.sleep(0)
            return [await read_answer(stream[0]) for _ in requests]

    assert asyncio.run(exchange()) == [(200, body) for _, body in requests]
