"""Queries over HTTP against a real server that answers as Prometheus does, or does not."""

import asyncio
import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from moneypath.runbooks import QueryFailed, Sample, prometheus_query
from moneypath.runbooks.prometheus import MAX_ANSWER_BYTES, MAX_SAMPLES

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(slots=True)
class Stub:
    """One endpoint; `answer` is what it does next."""

    answer: Answer
    forms: list[dict[str, str]] = field(default_factory=list)
    url: str = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Keep the form, then answer."""
        self.forms.append({name: str(value) for name, value in (await request.post()).items()})
        return await self.answer(request)

    def says(self, body: str | bytes, status: int = 200) -> None:
        """Answer with this from now on."""
        raw = body.encode() if isinstance(body, str) else body

        async def answer(_: web.Request) -> web.StreamResponse:
            return web.Response(body=raw, status=status, content_type="application/json")

        self.answer = answer


def success(kind: str, result: object) -> str:
    """Return the body of a successful answer."""
    return json.dumps({"status": "success", "data": {"resultType": kind, "result": result}})


@pytest.fixture
async def stub() -> AsyncIterator[Stub]:
    """A server on a free port."""

    async def empty(_: web.Request) -> web.StreamResponse:
        return web.Response(text=success("vector", []))

    stub = Stub(empty)
    app = web.Application()
    app.router.add_post("/api/v1/query", stub.handle)
    async with TestServer(app) as server:
        stub.url = str(server.make_url("/"))
        yield stub


async def test_a_vector_becomes_samples(stub: Stub) -> None:
    """Labels and values arrive, not-a-number and infinity included; the query went out as it is."""
    rows = [("north", "0.25"), ("south", "NaN"), ("east", "+Inf")]
    stub.says(success("vector", [{"metric": {"provider": p}, "value": [1.0, v]} for p, v in rows]))
    samples = await prometheus_query(stub.url)('x{provider="north"} + 1')
    assert samples[0] == Sample({"provider": "north"}, 0.25)
    assert math.isnan(samples[1].value)
    assert math.isinf(samples[2].value)
    assert stub.forms[0]["query"] == 'x{provider="north"} + 1'


async def test_a_scalar_is_one_sample_and_an_empty_vector_none(stub: Stub) -> None:
    """Absence arrives as absence."""
    query = prometheus_query(stub.url)
    assert list(await query("x")) == []
    stub.says(success("scalar", [1.0, "3"]))
    assert list(await query("3")) == [Sample({}, 3.0)]


@pytest.mark.parametrize(
    ("body", "status", "what"),
    [
        (json.dumps({"status": "error", "error": "parse error at char 4"}), 400, "parse error at char 4"),
        ("<html>gateway</html>", 502, "status 502"),
        ("[]", 200, "status 200"),
        ("{}", 200, "status 200"),
        (b"\xff\xfe", 200, "status 200"),
        ("[" * 100_000, 200, "status 200"),
        (success("matrix", []), 200, "a matrix is not an instant answer"),
        (success("vector", [{"metric": {}}]), 200, "status 200"),
        (success("vector", [{"metric": {}, "value": [1, "x"]}]), 200, "status 200"),
        (success("vector", [{"metric": {}, "value": [1, "1"]}] * (MAX_SAMPLES + 1)), 200, "more than 1000"),
        (b" " * (MAX_ANSWER_BYTES + 1), 200, "more than 1048576 bytes"),
        ("", 302, "status 302"),
    ],
)
async def test_anything_else_is_no_answer(stub: Stub, body: str | bytes, status: int, what: str) -> None:
    """Every other answer is refused in words; none of them is read as zero."""
    stub.says(body, status)
    with pytest.raises(QueryFailed, match=what):
        await prometheus_query(stub.url)("x")


async def test_silence_is_cut_off(stub: Stub) -> None:
    """A server that accepts and says nothing cannot hold the caller."""
    released = asyncio.Event()

    async def silent(_: web.Request) -> web.StreamResponse:
        await released.wait()
        return web.Response()

    stub.answer = silent
    try:
        async with asyncio.timeout(30):
            with pytest.raises(QueryFailed, match="does not answer"):
                await prometheus_query(stub.url, timeout_seconds=0.05)("x")
    finally:
        released.set()


async def test_nobody_there_is_no_answer(unused_tcp_port: int) -> None:
    """A port without a server."""
    with pytest.raises(QueryFailed, match="does not answer"):
        await prometheus_query(f"http://127.0.0.1:{unused_tcp_port}")("x")


async def test_a_redirect_is_not_followed(stub: Stub) -> None:
    """The answer has to come from the address that was given."""

    async def away(_: web.Request) -> web.StreamResponse:
        raise web.HTTPTemporaryRedirect("/elsewhere")

    stub.answer = away
    with pytest.raises(QueryFailed, match="status 307"):
        await prometheus_query(stub.url)("x")
