"""An instrumented Starlette service. Run it: it sends itself requests and prints its metrics."""

import asyncio
import sys

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from moneypath.telemetry import correlation, setup
from moneypath.telemetry.integrations.starlette import instrument


async def show(request: Request) -> JSONResponse:
    """Show a payment and the correlation id of the request."""
    return JSONResponse({"payment": request.path_params["payment"], "asked_as": correlation.current()})


app = Starlette(routes=[Mount("/v1", routes=[Route("/payments/{payment}", show)])])
recorder = setup(service="checkout", providers=["north"], currencies=["EUR"])
instrument(app, recorder)


async def main(port: int) -> None:
    """Serve on a loopback port (0: a free one), send requests, print and stop."""
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning"))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        answer = await client.get("/v1/payments/p-1", headers={"x-correlation-id": "support-case-77"})
        print(answer.json())
        metrics = (await client.get("/metrics")).text
    for line in metrics.splitlines():
        if line.startswith("http_server_request_duration_seconds_count"):
            print(line)
    server.should_exit = True
    await serving


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
