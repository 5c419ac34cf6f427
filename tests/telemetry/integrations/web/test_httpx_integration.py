"""A call with httpx has exactly one outcome, which says whether the request may have arrived."""

import asyncio
import gzip
import json
from collections.abc import Callable

import httpx
import pytest

from moneypath.telemetry import LabelsUnknown, Recorder, TelemetryError, correlation
from moneypath.telemetry.correlation import Context, Trace
from moneypath.telemetry.integrations.httpx import TelemetryTransport, instrument

from .conftest import Provider

Read = Callable[..., float | None]

OUTCOMES = [
    ("/approved", "succeeded"),
    ("/declined", "declined"),
    ("/invalid", "rejected"),
    ("/busy", "shed"),
    ("/down", "failed"),
    ("/moved", "failed"),
    ("/gateway", "indeterminate"),
    ("/silent", "indeterminate"),
    ("/hangs-up", "indeterminate"),
    ("/half", "indeterminate"),
]


def patience(path: str) -> httpx.Timeout:
    """Return the time-out. It is short only where no answer comes, because the machine may be slow."""
    return httpx.Timeout(30, read=0.3 if path == "/silent" else 30)


def classify(response: httpx.Response) -> str | None:
    """Recognise a decline."""
    return "declined" if response.json().get("status") == "declined" else None


def attempts(read: Read, operation: str = "authorize") -> dict[str, float]:
    """Return the counted attempts by outcome, after checking that each has a duration."""
    found: dict[str, float] = {}
    for outcome in ("succeeded", "declined", "rejected", "shed", "failed", "indeterminate", "blocked"):
        labels = {"provider": "north", "operation": operation, "outcome": outcome}
        count = read("moneypath_provider_attempts_total", **labels)
        assert (read("moneypath_provider_request_duration_seconds_count", **labels) or 0) == count
        if count:
            found[outcome] = count
    return found


@pytest.mark.parametrize(("path", "outcome"), OUTCOMES)
def test_outcome_of_a_synchronous_call(
    recorder: Recorder, read: Read, provider: Provider, path: str, outcome: str
) -> None:
    """Each kind of end counts once, and the caller sees what it would see without us."""
    with httpx.Client(base_url=provider.url, timeout=patience(path), trust_env=False) as client:
        instrument(client, recorder, provider="north", operation="authorize", classify=classify)
        try:
            answer = client.post(path, json={"amount": 1})
        except httpx.TransportError:
            assert path in ("/silent", "/hangs-up", "/half")
        else:
            assert answer.elapsed.total_seconds() > 0
    assert attempts(read) == {outcome: 1}


@pytest.mark.parametrize(("path", "outcome"), OUTCOMES)
async def test_outcome_of_an_asynchronous_call(
    recorder: Recorder, read: Read, provider: Provider, path: str, outcome: str
) -> None:
    """The asynchronous client counts the same."""
    async with httpx.AsyncClient(base_url=provider.url, timeout=patience(path), trust_env=False) as client:
        instrument(client, recorder, provider="north", operation="authorize", classify=classify)
        try:
            await client.post(path, json={"amount": 1})
        except httpx.TransportError:
            assert path in ("/silent", "/hangs-up", "/half")
    assert attempts(read) == {outcome: 1}


def test_what_was_never_sent_is_failed(recorder: Recorder, read: Read, nobody: str) -> None:
    """A refused connection is not indeterminate."""
    with httpx.Client(trust_env=False) as client:
        instrument(client, recorder, provider="north", operation="authorize")
        with pytest.raises(httpx.ConnectError):
            client.post(nobody)
    assert attempts(read) == {"failed": 1}


async def test_what_was_never_sent_asynchronously_is_failed(
    recorder: Recorder, read: Read, nobody: str
) -> None:
    """The same with the asynchronous client."""
    async with httpx.AsyncClient(trust_env=False) as client:
        instrument(client, recorder, provider="north", operation="authorize")
        with pytest.raises(httpx.ConnectError):
            await client.post(nobody)
    assert attempts(read) == {"failed": 1}


async def test_cancelled_call_is_judged_by_whether_it_was_sent(
    recorder: Recorder, read: Read, provider: Provider
) -> None:
    """Cancelled while waiting for an answer: indeterminate. While waiting for a connection: failed."""
    limits = httpx.Limits(max_connections=1)
    async with httpx.AsyncClient(base_url=provider.url, limits=limits, trust_env=False, timeout=30) as client:
        instrument(client, recorder, provider="north", operation="authorize")
        sent = asyncio.create_task(client.post("/silent"))
        await asyncio.to_thread(provider.arrived.wait, 10)
        waiting = asyncio.create_task(client.post("/silent"))
        # To the point where it waits for the only connection.
        for _ in range(20):
            await asyncio.sleep(0)
        for task in (waiting, sent):
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
    assert len(provider.received) == 1
    assert attempts(read) == {"failed": 1, "indeterminate": 1}


def test_streamed_answer_counts_once_when_it_is_left(
    recorder: Recorder, read: Read, provider: Provider
) -> None:
    """If the caller closes early, the status decides; reading everything does not count twice."""
    with httpx.Client(base_url=provider.url, trust_env=False) as client:
        instrument(client, recorder, provider="north", operation="query", classify=classify)
        with client.stream("GET", "/declined") as answer:
            assert answer.status_code == 200
        assert attempts(read, "query") == {"succeeded": 1}
        with client.stream("GET", "/declined") as answer:
            assert answer.read()
    assert attempts(read, "query") == {"succeeded": 1, "declined": 1}


def test_operation_is_named_from_the_request(recorder: Recorder, read: Read, provider: Provider) -> None:
    """One client serves several operations; an undeclared one is counted as a drop."""

    def operation(request: httpx.Request) -> str:
        return {"/approved": "capture", "/down": "transfer"}[request.url.path]

    with httpx.Client(base_url=provider.url, trust_env=False) as client:
        instrument(client, recorder, provider="north", operation=operation)
        assert client.post("/approved").status_code == 200
        assert client.post("/down").status_code == 503
        assert client.post("/busy").status_code == 429
    assert attempts(read, "capture") == {"succeeded": 1}
    assert attempts(read) == {}
    # Counter and histogram of the undeclared operation and of the one whose function raised.
    assert read("moneypath_telemetry_drops_total", reason="unknown_value") == 4


def test_classify_that_raises_leaves_the_status(recorder: Recorder, read: Read, provider: Provider) -> None:
    """The payment continues, the attempt counts, and the mistake is counted as a drop."""

    def broken(response: httpx.Response) -> str:
        return str(response.json()["no such key"])

    with httpx.Client(base_url=provider.url, trust_env=False) as client:
        instrument(client, recorder, provider="north", operation="authorize", classify=broken)
        assert client.post("/approved").json() == {"status": "approved"}
    assert attempts(read) == {"succeeded": 1}
    assert read("moneypath_telemetry_drops_total", reason="unknown_value") == 1


def test_context_goes_out(recorder: Recorder, provider: Provider) -> None:
    """The provider gets correlation id and trace; outside a request nothing is added."""
    trace = Trace("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", sampled=False)
    with httpx.Client(base_url=provider.url, trust_env=False) as client:
        instrument(client, recorder, provider="north", operation="authorize")
        with correlation.entered(Context("request-0001", trace)):
            client.post("/approved")
        client.post("/approved")
    inside, outside = provider.received
    assert inside["x-correlation-id"] == "request-0001"
    assert inside["traceparent"].split("-")[1] == trace.trace_id
    assert "x-correlation-id" not in outside


@pytest.mark.parametrize("size", [10, 60_000, 70_000])
def test_compressed_and_long_answers_reach_the_caller_whole(
    recorder: Recorder, read: Read, size: int
) -> None:
    """The body for `classify` is decoded and limited; the caller gets the same bytes as before."""
    content = json.dumps({"status": "declined", "padding": "x" * size}).encode()
    sent = gzip.compress(content, compresslevel=0)

    class Inner(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            stream = httpx.ByteStream(sent)
            # A stream that is no ByteStream is not read at once, as on a socket.
            return httpx.Response(200, headers={"content-encoding": "gzip"}, stream=Wire(stream))

    class Wire(httpx.SyncByteStream):
        def __init__(self, stream: httpx.ByteStream) -> None:
            self._stream = stream

        def __iter__(self):  # type: ignore[no-untyped-def]
            return iter(self._stream)

    with httpx.Client(transport=Inner()) as client:
        instrument(client, recorder, provider="north", operation="authorize", classify=classify)
        assert client.get("http://provider/").content == content
    assert attempts(read) == {"declined" if size < 64 * 1024 - 100 else "succeeded": 1}
    # One that is too long is not shown to `classify` at all, rather than in part.
    assert read("moneypath_telemetry_drops_total", reason="unknown_value") == 0


def test_transport_for_tests_counts_too(recorder: Recorder, read: Read) -> None:
    """A response that is not a stream has an outcome as well."""
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json={"status": "declined"}))
    with httpx.Client(transport=transport) as client:
        instrument(client, recorder, provider="north", operation="authorize", classify=classify)
        client.get("http://provider/")
    assert attempts(read) == {"declined": 1}


def test_callers_own_trace_extension_is_still_called(recorder: Recorder, provider: Provider) -> None:
    """It is called in addition, not replaced."""
    events: list[str] = []
    with httpx.Client(base_url=provider.url, trust_env=False) as client:
        instrument(client, recorder, provider="north", operation="authorize")
        client.post("/approved", extensions={"trace": lambda event, _: events.append(event)})
    assert "http11.send_request_headers.started" in events


def test_wiring_mistakes_are_refused(recorder: Recorder) -> None:
    """An undeclared provider or operation, and a client that is already instrumented, are refused."""
    with httpx.Client() as client:
        with pytest.raises(LabelsUnknown, match="unknown_value"):
            instrument(client, recorder, provider="west", operation="authorize")
        with pytest.raises(LabelsUnknown, match="unknown_value"):
            instrument(client, recorder, provider="north", operation="transfer")
        assert not isinstance(client._transport, TelemetryTransport)
        instrument(client, recorder, provider="north", operation="authorize")
        with pytest.raises(TelemetryError, match="already"):
            instrument(client, recorder, provider="north", operation="authorize")
