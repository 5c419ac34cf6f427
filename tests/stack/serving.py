"""Serve an application within a test, without changing what later tests hear of its server."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[str]:
    """Serve an application on a free port of loopback."""
    config = uvicorn.Config(app, port=0, log_config=None, log_level="critical", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event
        await asyncio.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    await running
    for name in ("uvicorn.error", "uvicorn.access", "uvicorn.asgi"):
        # Its level is the process's, and so that of every later test.
        logging.getLogger(name).setLevel(logging.NOTSET)
