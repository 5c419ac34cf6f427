"""Servers on real sockets: the applications under test, and a provider that misbehaves on demand."""

import asyncio
import json
import socket
import socketserver
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.types import WSGIApplication

import pytest
import uvicorn
from starlette.types import ASGIApp

Read = Callable[..., float | None]
CountRequests = Callable[[str, str, str], float | None]

COUNT = "http_server_request_duration_seconds_count"


@pytest.fixture
def counted(read: Read) -> CountRequests:
    """Return a function that returns the number of requests by method, route and status."""
    return lambda method, route, status: read(
        COUNT, http_request_method=method, http_route=route, http_response_status_code=status
    )


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


@contextmanager
def _running(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def serving_wsgi(app: WSGIApplication) -> Iterator[str]:
    """Serve a WSGI application and yield its address; at the end of the block every request is over."""
    server: WSGIServer = make_server("127.0.0.1", 0, app, handler_class=_Quiet)
    with _running(server):
        yield f"http://127.0.0.1:{server.server_port}"


@asynccontextmanager
async def serving(app: ASGIApp, root_path: str = "") -> AsyncIterator[str]:
    """Serve an ASGI application with uvicorn, yield its address, and shut it down."""
    server = uvicorn.Server(uvicorn.Config(app, root_path=root_path, log_config=None, lifespan="on"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        # `Server.serve` would take the process' signals; what lies below it does not.
        started = asyncio.create_task(server._serve(sockets=[listening]))
        while not server.started:
            if started.done():
                await started
                raise RuntimeError("uvicorn did not start")
            # uvicorn has no event for it.
            await asyncio.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            await started


ANSWERS: dict[str, tuple[int, dict[str, str]]] = {
    "/approved": (200, {"status": "approved"}),
    "/declined": (200, {"status": "declined"}),
    "/invalid": (422, {}),
    "/busy": (429, {}),
    "/down": (503, {}),
    "/gateway": (504, {}),
    "/moved": (302, {}),
}


class Provider(socketserver.ThreadingTCPServer):
    """A provider whose behaviour is in the path."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Conversation)
        self.received: list[dict[str, str]] = []
        self.arrived = threading.Event()
        self.over = threading.Event()

    @property
    def url(self) -> str:
        """Return its address."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Conversation(socketserver.StreamRequestHandler):
    server: Provider

    def handle(self) -> None:
        """Read one request and behave as its path says."""
        path = self.rfile.readline().decode().split(" ")[1]
        headers: dict[str, str] = {}
        while line := self.rfile.readline().decode().strip():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        body = self.rfile.read(int(headers.get("content-length", "0")))
        self.server.received.append(headers)
        self.server.arrived.set()
        if path == "/authorizations":
            path = {4200: "/approved", 42_000: "/declined"}.get(json.loads(body)["amount"], "/hangs-up")
        if path == "/silent":
            self.server.over.wait(timeout=30)
        elif path == "/half":
            self.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{")
        elif path in ANSWERS:
            status, answer = ANSWERS[path]
            content = json.dumps(answer).encode()
            head = f"HTTP/1.1 {status} -\r\ncontent-length: {len(content)}\r\nconnection: close\r\n\r\n"
            self.wfile.write(head.encode() + content)


@pytest.fixture
def provider() -> Iterator[Provider]:
    """Return a running provider."""
    server = Provider()
    with _running(server):
        yield server
        server.over.set()


@pytest.fixture
def nobody() -> Iterator[str]:
    """Return an address where nothing listens during the test."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"
