"""The real collector with our configuration, and a back end that receives OTLP and can be down."""

import asyncio
import contextlib
import gzip
import random
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import monotonic
from typing import Any, Protocol

import aiohttp
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from prometheus_client.parser import text_string_to_metric_families

from moneypath.stack.collector import Collector, CollectorPorts, Manifest, find_built, prepare
from moneypath.stack.errors import BinaryMissing
from moneypath.stack.ports import PortPool
from moneypath.stack.supervisor import Supervisor

ROOT = Path(__file__).parents[3]
WITHIN_SECONDS = 60.0


class Backend:
    """Receives traces and logs while it is up, and keeps what it received."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.traces: list[ExportTraceServiceRequest] = []
        self.logs: list[ExportLogsServiceRequest] = []
        self._port = port
        self._news = threading.Condition()
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> None:
        """Start to listen."""
        backend = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                backend.take(self.path, body)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Log nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        """Refuse connections. Can be called when it is down."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def take(self, path: str, body: bytes) -> None:
        """Keep a request."""
        with self._news:
            if path == "/v1/traces":
                self.traces.append(ExportTraceServiceRequest.FromString(body))
            else:
                self.logs.append(ExportLogsServiceRequest.FromString(body))
            self._news.notify_all()

    def spans(self) -> list[Span]:
        """Return every span received."""
        return [
            span
            for request in list(self.traces)
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    async def until(self, enough: Callable[[], bool]) -> None:
        """Wait until a condition on the received data holds."""

        def wait() -> bool:
            with self._news:
                return self._news.wait_for(enough, WITHIN_SECONDS)

        assert await asyncio.to_thread(wait), f"only {len(self.spans())} spans came"


@dataclass(frozen=True)
class Running:
    """A running collector and its addresses."""

    collector: Collector
    log_files: Path

    async def send(self, signal: str, request: Any) -> None:
        """Send one request of `traces`, `logs` or `metrics`, which the collector must accept."""
        async with (
            aiohttp.ClientSession() as session,
            session.post(
                f"{self.collector.otlp_url}/v1/{signal}",
                data=request.SerializeToString(),
                headers={"Content-Type": "application/x-protobuf"},
            ) as answer,
        ):
            assert answer.status == 200, await answer.text()

    async def page(self, url: str) -> str:
        """Return a page of metrics."""
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            assert answer.status == 200
            return await answer.text()

    async def own(self, name: str, **labels: str) -> float:
        """Return the sum of one of the collector's own metrics over the series with these labels."""
        total = 0.0
        for family in text_string_to_metric_families(await self.page(self.collector.own_metrics_url)):
            for sample in family.samples:
                # The parser gives every counter the suffix that the collector is told to leave out.
                if sample.name.removesuffix("_total") == name and labels.items() <= sample.labels.items():
                    total += sample.value
        return total

    async def until_own(self, name: str, enough: Callable[[float], bool], **labels: str) -> float:
        """Wait until one of its own metrics has reached a value."""
        ends = monotonic() + WITHIN_SECONDS
        while not enough(value := await self.own(name, **labels)):
            assert monotonic() < ends, f"{name} stays at {value:g}"
            await asyncio.sleep(0.05)
        return value

    def log(self) -> str:
        """Return its log."""
        return "".join(file.read_text(encoding="utf-8") for file in self.log_files.glob("*.log"))


class Run(Protocol):
    """A function that starts a collector with changes to the configuration."""

    def __call__(self, changes: dict[str, Any] | None = None) -> AbstractAsyncContextManager[Running]: ...


@pytest.fixture(scope="session")
def binary() -> Path:
    """Return the real collector, or skip with the reason why there is none."""
    try:
        return find_built(Manifest.read(ROOT / "collector/builder.yaml"))
    except BinaryMissing as missing:
        pytest.skip(f"{missing.what} ({missing.hint})")


@pytest.fixture
def ports() -> Iterator[PortPool]:
    """Reserve ports for one test."""
    with PortPool({}) as reserved:
        yield reserved


@pytest.fixture
def backend(ports: PortPool) -> Iterator[Backend]:
    """Run a back end."""
    server = Backend(ports.reserve("backend"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def run(binary: Path, ports: PortPool, backend: Backend, tmp_path: Path) -> Run:
    """Return a function that runs the collector, which decides on traces after one second instead of ten."""

    @contextlib.asynccontextmanager
    async def running(changes: dict[str, Any] | None = None) -> AsyncIterator[Running]:
        collector_ports = CollectorPorts(
            grpc=ports.reserve("grpc"),
            http=ports.reserve("http"),
            prometheus=ports.reserve("prometheus"),
            own_metrics=ports.reserve("own-metrics"),
        )
        collector = prepare(
            tmp_path / "collector",
            collector_ports,
            binary=binary,
            config=ROOT / "collector/config.yaml",
            backend_url=backend.url,
            changes={"processors": {"tail_sampling": {"decision_wait": "1s"}}, **(changes or {})},
        )
        async with Supervisor(tmp_path / "run") as supervisor:
            await supervisor.start(collector.spec)
            yield Running(collector, tmp_path / "run/logs")

    return running


@dataclass(frozen=True)
class Spans:
    """Make spans with seeded ids."""

    draw: random.Random

    def one(
        self,
        name: str = "authorize",
        *,
        trace_id: bytes | None = None,
        seconds: float = 0.02,
        error: bool = False,
        **attributes: str,
    ) -> Span:
        """Return one span, of a trace of its own unless one is given."""
        begun = 1_795_328_602_000_000_000
        return Span(
            trace_id=trace_id or self.draw.randbytes(16),
            span_id=self.draw.randbytes(8),
            name=name,
            start_time_unix_nano=begun,
            end_time_unix_nano=begun + int(seconds * 1e9),
            status=Status(code=Status.STATUS_CODE_ERROR) if error else None,
            attributes=[
                KeyValue(key=key.replace("__", "."), value=AnyValue(string_value=value))
                for key, value in attributes.items()
            ],
        )

    def request(self, spans: list[Span]) -> ExportTraceServiceRequest:
        """Return a request with these spans."""
        request = ExportTraceServiceRequest()
        request.resource_spans.add().scope_spans.add().spans.extend(spans)
        return request


@pytest.fixture
def make() -> Spans:
    """Return a maker of spans with the same ids each time."""
    return Spans(random.Random(20261122))  # noqa: S311  # ids, not secrets
