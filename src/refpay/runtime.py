"""Run a process: one listening socket, one event loop, orderly stop, one sentence if it cannot start."""

import asyncio
import contextlib
import gc
import json
import logging
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

import uvicorn
import uvloop
from starlette.types import ASGIApp

from moneypath.telemetry import logs
from refpay.connections import BoundedHttpProtocol
from refpay.errors import RefpayError, StartRefused
from refpay.settings import LOOPBACK

_BACKLOG: Final = 1024
_KEEP_ALIVE_SECONDS: Final = 30
# Longer than a provider call takes by default, so that an orderly stop leaves nothing unresolved.
_GRACE_SECONDS: Final = 10
_EXIT_REFUSED: Final = 2
_CANCEL_AGAIN_SECONDS: Final = 0.5


def run(main: Callable[[], Coroutine[Any, Any, None]], *, service: str) -> int:
    """Run a process until it receives a signal to stop; return its exit code.

    If it cannot start, one sentence on stderr says why, without a stack trace.
    """
    logs.configure(service, sys.stderr)
    # Libraries log at warning and above.
    logging.getLogger().setLevel(logging.WARNING)
    return run_command(lambda _arguments: uvloop.run(main()))


def run_command(main: Callable[[list[str]], int | None]) -> int:
    """Run a command with its arguments; return its exit code.

    If it fails, one sentence on stderr says why.
    """
    try:
        return main(sys.argv[1:]) or 0
    except RefpayError as problem:
        sys.stderr.write(f"refpay: {problem.detail}\n")
        return _EXIT_REFUSED


def listen(port: int, host: str = LOOPBACK) -> socket.socket:
    """Listen on a port of an IPv4 address (0: any free port); raises StartRefused if it is taken."""
    # With the protocol given, asyncio sets TCP_NODELAY; without, an answer waits 40 ms for a delayed ACK.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    # A restart must not wait for TIME_WAIT of old connections.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        # Not `bind` but `listen` detects a collision between two sockets with SO_REUSEADDR.
        listener.listen(_BACKLOG)
    except OSError as problem:
        listener.close()
        raise StartRefused(
            f"Port {port} on {host} cannot be listened on ({problem.strerror}): "
            "stop what uses it, or set another port."
        ) from problem
    listener.setblocking(False)
    return listener


class Server(uvicorn.Server):
    """A server that leaves signals to the process: uvicorn would raise them and skip our clean-up."""

    def stop(self) -> None:
        """Stop accepting connections and finish requests in flight."""
        self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture no signals."""
        yield


def make_server(app: ASGIApp, *, protocol: type[BoundedHttpProtocol] = BoundedHttpProtocol) -> Server:
    """Return an HTTP server for an app; give it a listening socket with `serve(sockets=[...])`."""
    return Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            http=protocol,
            ws="none",
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=_GRACE_SECONDS,
            backlog=_BACKLOG,
        )
    )


async def serve(opened: AbstractAsyncContextManager[ASGIApp], port: int, host: str) -> None:
    """Serve an app until SIGTERM or SIGINT; raises StartRefused.

    Prints one JSON line on stdout with the port that it listens on.
    """
    with contextlib.closing(listen(port, host)) as listener:
        async with opened as app:
            server = make_server(app)
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, server.stop)
            sys.stdout.write(json.dumps({"event": "listening", "port": listener.getsockname()[1]}) + "\n")
            sys.stdout.flush()
            # All that is loaded by now is permanent, and requests leave few cycles: collect seldom.
            gc.freeze()
            gc.set_threshold(10_000)
            await server.serve(sockets=[listener])


@contextlib.asynccontextmanager
async def running(*coroutines: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run coroutines in the background and cancel them at the end, whatever they raise.

    They are cancelled repeatedly until they have ended: before Python 3.12 `asyncio.wait_for` can lose a
    cancellation.
    """
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        yield
    finally:
        pending = set(tasks)
        while pending:
            for task in pending:
                task.cancel()
            _, pending = await asyncio.wait(pending, timeout=_CANCEL_AGAIN_SECONDS)
        await asyncio.gather(*tasks, return_exceptions=True)
