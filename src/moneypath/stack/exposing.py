"""Serve the metrics of an exporter until it is told to stop."""

import asyncio
import json
import signal
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final

from aiohttp import web

from moneypath.stack.pager.listening import listening
from moneypath.telemetry.exposition.text import negotiate
from moneypath.telemetry.setup import Recorder

_STOP_SECONDS: Final = 2.0
Tell = Callable[[Mapping[str, object]], None]
Health = Callable[[], Mapping[str, object]]


def json_line(event: Mapping[str, object]) -> str:
    """Return an event as one line of JSON."""
    return json.dumps(event, ensure_ascii=False)


def metrics_app(recorder: Recorder, health: Health) -> web.Application:
    """Return an application with `/metrics` and `/healthz`; both answer from memory."""

    async def metrics(request: web.Request) -> web.Response:
        form = negotiate(request.headers.get("Accept", ""))
        body = recorder.render(form.openmetrics)
        return web.Response(body=body, headers={"Content-Type": form.content_type})

    async def healthy(_request: web.Request) -> web.Response:
        return web.json_response({"status": "ok", **health()})

    app = web.Application(client_max_size=1024)
    app.add_routes([web.get("/metrics", metrics), web.get("/healthz", healthy)])
    return app


async def serve_until_stopped(
    app: web.Application, host: str, port: int, *, work: Sequence[Coroutine[Any, Any, object]], tell: Tell
) -> None:
    """Serve and work until SIGTERM or SIGINT; tells the port, a free one for port 0. Raises OSError.

    A defect in the work ends the process: an exporter that asks no more must not look alive.
    """
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    waiting = list(work)
    try:
        async with listening(app, host, port, stop_seconds=_STOP_SECONDS) as bound:
            tell({"event": "listening", "port": bound})
            tasks = [asyncio.create_task(each) for each in waiting]
            waiting.clear()
            stopping = asyncio.create_task(stopped.wait(), name="stop")
            try:
                await asyncio.wait((*tasks, stopping), return_when=asyncio.FIRST_COMPLETED)
                for task in tasks:
                    if task.done():
                        task.result()
            finally:
                for each in (*tasks, stopping):
                    each.cancel()
                await asyncio.gather(*tasks, stopping, return_exceptions=True)
    finally:
        # Nothing listens: what was to be done is not begun.
        for undone in waiting:
            undone.close()
