"""One call instruments a FastAPI or Starlette application under its own routes."""

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import APIRouter, FastAPI, WebSocket
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute

from moneypath.telemetry import Catalogue, MetricUnknown, Recorder, TelemetryError, correlation, setup
from moneypath.telemetry.integrations import fastapi, starlette

from .conftest import CountRequests, serving


def payments() -> FastAPI:
    """Return an application with nested routers, a mounted application and a WebSocket."""
    app = FastAPI()
    inner = APIRouter(prefix="/payments")
    outer = APIRouter()
    mounted = FastAPI()

    @inner.get("/{payment_id}")
    async def payment(payment_id: str) -> dict[str, str | None]:
        return {"id": payment_id, "correlation_id": correlation.current()}

    @app.get("/payments/{payment_id}")
    async def unversioned(payment_id: str) -> str:
        return payment_id

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"one"
            yield b"two"

        return StreamingResponse(chunks())

    @app.websocket("/socket")
    async def socket(websocket: WebSocket) -> None:
        await websocket.close()

    @mounted.get("/items/{item_id}")
    async def item(item_id: str) -> str:
        return item_id

    outer.include_router(inner)
    app.include_router(outer, prefix="/v1")
    app.include_router(inner, prefix="/v2")
    app.mount("/shop", mounted)
    return app


async def test_fastapi_requests_are_counted_under_its_routes(
    recorder: Recorder, counted: CountRequests
) -> None:
    """A route under two prefixes gives two templates; a mounted application's routes count too."""
    app = payments()
    fastapi.instrument(app, recorder)
    async with serving(app) as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
        answer = await client.get("/v1/payments/7", headers={"x-correlation-id": "abcd-1234"})
        assert answer.json() == {"id": "7", "correlation_id": "abcd-1234"}
        assert answer.headers.get_list("x-correlation-id") == ["abcd-1234"]
        for path in (
            "/v2/payments/7",
            "/payments/7",
            "/shop/items/1",
            "/nowhere",
            "/shop/nowhere",
            "/stream",
        ):
            await client.get(path)
        await client.post("/payments/7")
        scrape = await client.get("/metrics")
    assert 'http_route="/v1/payments/{payment_id}"' in scrape.text
    assert "/metrics" not in app.openapi()["paths"]
    assert counted("GET", "/v1/payments/{payment_id}", "200") == 1
    assert counted("GET", "/v2/payments/{payment_id}", "200") == 1
    assert counted("GET", "/payments/{payment_id}", "200") == 1
    assert counted("POST", "/payments/{payment_id}", "405") == 1
    assert counted("GET", "/shop/items/{item_id}", "200") == 1
    assert counted("GET", "/stream", "200") == 1
    assert counted("GET", "other", "404") == 2
    assert counted("GET", "/metrics", "200") == 1


async def test_route_added_after_the_start_is_other(recorder: Recorder, counted: CountRequests) -> None:
    """A route added before the start is known, even if instrument() was called earlier."""
    app = FastAPI()
    fastapi.instrument(app, recorder)

    @app.get("/early/{number}")
    async def early(number: int) -> int:
        return number

    async with serving(app) as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
        app.add_api_route("/late/{number}", early)
        assert [(await client.get(path)).json() for path in ("/early/1", "/late/2")] == [1, 2]
    assert counted("GET", "/early/{number}", "200") == 1
    assert counted("GET", "other", "200") == 1


async def test_mounted_application_that_is_instrumented_too_counts_once(
    recorder: Recorder, counted: CountRequests
) -> None:
    """The outer application counts it, under the whole template."""
    app, mounted = FastAPI(), FastAPI()
    mounted.add_api_route("/items", lambda: "item")
    for each in (mounted, app):
        fastapi.instrument(each, recorder)
    app.mount("/shop", mounted)
    async with serving(app) as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
        assert (await client.get("/shop/items")).json() == "item"
    assert counted("GET", "/shop/items", "200") == 1
    assert counted("GET", "/items", "200") is None


async def test_root_path_of_a_proxy_is_not_part_of_the_route(
    recorder: Recorder, counted: CountRequests
) -> None:
    """A server with a root path puts it before every path."""
    app = FastAPI()
    app.add_api_route("/payments/{number}", lambda number: number)
    app.mount("/shop", Starlette(routes=[Route("/items/{number}", PlainTextResponse("item"))]))
    fastapi.instrument(app, recorder)
    async with (
        serving(app, root_path="/api") as url,
        httpx.AsyncClient(base_url=url, trust_env=False) as client,
    ):
        assert (await client.get("/payments/1")).status_code == 200
        assert (await client.get("/shop/items/1")).status_code == 200
    assert counted("GET", "/payments/{number}", "200") == 1
    assert counted("GET", "/shop/items/{number}", "200") == 1


async def test_starlette_requests_are_counted_under_its_routes(
    recorder: Recorder, counted: CountRequests
) -> None:
    """Starlette reports no matched route; a mount without routes is one template."""

    async def answer(request: Request) -> JSONResponse:
        return JSONResponse(request.path_params)

    async def files(scope, receive, send):  # type: ignore[no-untyped-def]
        await PlainTextResponse("file")(scope, receive, send)

    app = Starlette(
        routes=[
            Mount("/v1", routes=[Route("/payments/{payment_id:int}", answer)]),
            Route("/latest/{name}", answer),
            WebSocketRoute("/socket", answer),
            Mount("/files", files),
        ]
    )
    starlette.instrument(app, recorder)
    async with serving(app) as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
        for path in ("/v1/payments/7", "/latest/x", "/files/a/b", "/files/", "/nowhere"):
            await client.get(path)
        assert (await client.get("/metrics")).status_code == 200
    assert counted("GET", "/v1/payments/{payment_id:int}", "200") == 1
    assert counted("GET", "/latest/{name}", "200") == 1
    assert counted("GET", "/files/{path:path}", "200") == 2
    assert counted("GET", "other", "404") == 1


async def test_routes_beyond_the_limit_are_other(recorder: Recorder, counted: CountRequests) -> None:
    """A service does not fail to start because of its number of routes."""
    app = FastAPI(openapi_url=None)
    for number in range(250):
        app.add_api_route(f"/{number}", lambda: "ok")
    fastapi.instrument(app, recorder)
    async with serving(app) as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
        assert [(await client.get(path)).status_code for path in ("/7", "/249")] == [200, 200]
    assert counted("GET", "/7", "200") == 1
    assert counted("GET", "other", "200") == 1


async def test_wiring_mistakes_are_refused(catalogue: Catalogue, recorder: Recorder) -> None:
    """A path that is taken, a started application, and a recorder without the metric are refused."""
    taken = FastAPI()
    taken.add_api_route("/{anything:path}", lambda anything: anything)
    with pytest.raises(TelemetryError, match="already"):
        fastapi.instrument(taken, recorder)
    fastapi.instrument(taken, recorder, metrics_path=None)
    twice = FastAPI()
    fastapi.instrument(twice, recorder)
    with pytest.raises(TelemetryError, match="already"):
        fastapi.instrument(twice, recorder)
    running = FastAPI()
    async with serving(running):
        with pytest.raises(TelemetryError, match="already started"):
            fastapi.instrument(running, recorder)
    bare = setup(catalogue, service="api", metrics=["moneypath_duplicate_charges"])
    with pytest.raises(MetricUnknown, match="http_server_request_duration_seconds"):
        fastapi.instrument(FastAPI(), bare)
