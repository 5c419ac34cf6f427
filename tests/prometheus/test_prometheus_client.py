"""Queries over HTTP against a real server that answers as Prometheus does, or does not."""

import asyncio
import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from moneypath.prometheus import Prometheus, PrometheusUnreachable, QueryFailed, Sample
from moneypath.prometheus.client import MAX_ANSWER_BYTES, MAX_SAMPLES

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
    app.router.add_post("/api/v1/query_range", stub.handle)
    app.router.add_get("/api/v1/alerts", stub.handle)
    async with TestServer(app) as server:
        stub.url = str(server.make_url("/"))
        yield stub


async def test_a_vector_becomes_samples(stub: Stub) -> None:
    """Labels and values arrive, not-a-number and infinity included; the query went out as it is."""
    rows = [("north", "0.25"), ("south", "NaN"), ("east", "+Inf")]
    stub.says(success("vector", [{"metric": {"provider": p}, "value": [1.0, v]} for p, v in rows]))
    samples = await Prometheus(stub.url).query('x{provider="north"} + 1')
    assert samples[0] == Sample({"provider": "north"}, 0.25)
    assert math.isnan(samples[1].value)
    assert math.isinf(samples[2].value)
    assert stub.forms[0]["query"] == 'x{provider="north"} + 1'


async def test_a_scalar_is_one_sample_and_an_empty_vector_none(stub: Stub) -> None:
    """Absence arrives as absence."""
    query = Prometheus(stub.url).query
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
        (json.dumps({"status": "success", "data": None}), 200, "malformed"),
        (b"\xff\xfe", 200, "status 200"),
        ("[" * 100_000, 200, "status 200"),
        (success("matrix", []), 200, "returns a matrix, not an instant vector"),
        (success("vector", [{"metric": {}}]), 200, "malformed"),
        (success("vector", [{"metric": {}, "value": [1, "x"]}]), 200, "malformed"),
        (success("vector", [1]), 200, "malformed"),
        (success("vector", [{"metric": {}, "value": [1, "1"]}] * (MAX_SAMPLES + 1)), 200, "more than 1000"),
        (b" " * (MAX_ANSWER_BYTES + 1), 200, "more than 1048576 bytes"),
        ("", 302, "status 302"),
    ],
)
async def test_anything_else_is_no_answer(stub: Stub, body: str | bytes, status: int, what: str) -> None:
    """Every other answer is refused in words; none of them is read as zero."""
    stub.says(body, status)
    with pytest.raises(QueryFailed, match=what) as caught:
        await Prometheus(stub.url).query("x")
    assert not isinstance(caught.value, PrometheusUnreachable)


async def test_silence_is_cut_off(stub: Stub) -> None:
    """A server that accepts and says nothing cannot hold the caller."""
    released = asyncio.Event()

    async def silent(_: web.Request) -> web.StreamResponse:
        await released.wait()
        return web.Response()

    stub.answer = silent
    try:
        async with asyncio.timeout(30):
            with pytest.raises(PrometheusUnreachable, match="does not answer"):
                await Prometheus(stub.url, timeout_seconds=0.05).query("x")
    finally:
        released.set()


async def test_nobody_there_is_no_answer(unused_tcp_port: int) -> None:
    """A port without a server."""
    with pytest.raises(PrometheusUnreachable, match="does not answer"):
        await Prometheus(f"http://127.0.0.1:{unused_tcp_port}").query("x")


async def test_a_redirect_is_not_followed(stub: Stub) -> None:
    """The answer has to come from the address that was given."""

    async def away(_: web.Request) -> web.StreamResponse:
        raise web.HTTPTemporaryRedirect("/elsewhere")

    stub.answer = away
    with pytest.raises(QueryFailed, match="status 307"):
        await Prometheus(stub.url).query("x")


async def test_a_refused_query_is_named_in_the_hint(stub: Stub) -> None:
    """The query may come from a drill, a runbook, a board or the gate: the hint quotes it."""
    stub.says(json.dumps({"status": "error", "error": "parse error"}), 400)
    with pytest.raises(QueryFailed) as caught:
        await Prometheus(stub.url).query("sum of what")
    assert caught.value.hint == "Correct the query: sum of what"


async def test_a_range_becomes_series(stub: Stub) -> None:
    """Times and values arrive as numbers; an instant answer is refused."""
    stub.says(success("matrix", [{"metric": {"provider": "north"}, "values": [[1, "2"], [3.5, "NaN"]]}]))
    (series,) = await Prometheus(stub.url).query_range("x", start=1, end=4, step=0.5)
    assert series.labels == {"provider": "north"}
    assert series.samples[0] == (1.0, 2.0)
    assert math.isnan(series.samples[1][1])
    assert stub.forms[0] == {"query": "x", "start": "1.000", "end": "4.000", "step": "0.5", "timeout": "5s"}
    stub.says(success("vector", []))
    with pytest.raises(QueryFailed, match="returns a vector"):
        await Prometheus(stub.url).query_range("x", start=1, end=4, step=0.5)


async def test_alerts_are_listed(stub: Stub) -> None:
    """As Prometheus has them; anything else is refused."""
    stub.says(json.dumps({"status": "success", "data": {"alerts": [{"state": "firing"}]}}))
    assert await Prometheus(stub.url).alerts() == ({"state": "firing"},)
    stub.says(json.dumps({"status": "success", "data": {}}))
    with pytest.raises(QueryFailed, match="malformed"):
        await Prometheus(stub.url).alerts()
