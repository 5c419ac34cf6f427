"""A FastAPI service that counts payments and requests. Run it: it pays twice and prints its metrics."""

import asyncio
import sys

import httpx
import uvicorn
from fastapi import FastAPI

from moneypath.telemetry import setup
from moneypath.telemetry.integrations.fastapi import instrument

# FastAPI's own telemetry is off: with a global OpenTelemetry provider it would count each request again.
app = FastAPI(telemetry={"tracing": False, "metrics": False, "logs": False})
recorder = setup(service="checkout", providers=["north"], currencies=["EUR"])
instrument(app, recorder)


@app.post("/payments/{reference}")
async def pay(reference: str, amount: int) -> dict[str, str]:
    """Authorize a payment."""
    with recorder.payment("authorize") as payment:
        status = "approved" if amount < 10_000 else "declined"
        payment.finish("succeeded" if status == "approved" else "declined", "north")
    return {"reference": reference, "status": status}


async def main(port: int) -> None:
    """Serve on a loopback port (0: a free one), pay, print and stop."""
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning"))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        await client.post("/payments/order-1", params={"amount": 4200})
        await client.post("/payments/order-2", params={"amount": 42_000})
        metrics = (await client.get("/metrics")).text
    for line in metrics.splitlines():
        if line.startswith(("moneypath_payments_total", "http_server")) and float(line.split()[-1]):
            print(line)
    server.should_exit = True
    await serving


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
