"""Listen for clients, each of which has little time and no more than its place."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

from aiohttp import web

# For the headers of a request, and between two requests.
WAIT_SECONDS: Final = 10.0
CONNECTIONS_MAX: Final = 500


class _Refused(asyncio.Protocol):
    """A connection for which there is no place."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Close it at once."""
        transport.close()


@contextlib.asynccontextmanager
async def listening(
    app: web.Application, host: str, port: int, *, stop_seconds: float, connections_max: int = CONNECTIONS_MAX
) -> AsyncIterator[int]:
    """Serve an app, yield its port, and stop in order; raises OSError.

    aiohttp bounds a request's headers itself (8 KiB a line, 128 lines). Of more than `connections_max`
    connections the newest are refused.
    """
    runner = web.AppRunner(
        app, access_log=None, shutdown_timeout=stop_seconds, keepalive_timeout=WAIT_SECONDS
    )
    await runner.setup()
    try:
        handlers = runner.server
        if handlers is None:
            raise RuntimeError("a runner that is set up has a server")

        def accept() -> asyncio.Protocol:
            return handlers() if len(handlers.connections) < connections_max else _Refused()

        server = await asyncio.get_running_loop().create_server(accept, host, port)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
    finally:
        await runner.cleanup()
