"""A payment service without any code for workers, for servers that run several of it."""

import json
import os
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from moneypath.telemetry import Catalogue, setup
from moneypath.telemetry.integrations.asgi import Receive, Scope, Send, metrics_endpoint
from moneypath.telemetry.otlp import push

recorder = setup(
    Catalogue.build(
        {"providers": ("north",), "currencies": ("EUR",), "checks": ("ledger",), "schemes": ("visa",)}
    ),
    service="shop",
)
metrics = metrics_endpoint(recorder)
pushing = None
if "PUSH_TO" in os.environ:
    pushing = push(recorder, endpoint=os.environ["PUSH_TO"], interval_seconds=0.2)
# Servers, drivers and exporters have threads: one is there when a server forks.
threading.Thread(target=threading.Event().wait, daemon=True).start()


def pay() -> bytes:
    """Record one payment and return the process id."""
    with recorder.payment("authorize") as payment:
        # Long enough that the other workers get some of the requests.
        time.sleep(0.005)
        payment.finish("succeeded", "north")
    return json.dumps(os.getpid()).encode()


async def asgi(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve /pay and /metrics over ASGI."""
    if scope["type"] == "lifespan":
        while (await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        if pushing is not None:
            # uvicorn's worker ends by a signal, after which nothing runs that was left for the exit.
            pushing.close(timeout_seconds=60)
        await send({"type": "lifespan.shutdown.complete"})
    elif scope["path"] == "/metrics":
        await metrics(scope, receive, send)
    else:
        content = pay()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
        await send({"type": "http.response.body", "body": content})


def wsgi(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    """Serve /pay and /metrics over WSGI."""
    start_response("200 OK", [("Connection", "close")])
    return [recorder.render() if environ["PATH_INFO"] == "/metrics" else pay()]
