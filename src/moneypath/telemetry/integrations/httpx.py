"""httpx: transports that record requests to a provider, sync and async.

Use `httpx.Client(transport=TelemetryTransport(httpx.HTTPTransport(), calls))`, or `instrument(client, ...)`
for an existing client. Each attempt is timed from its first byte to the end of its response.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Self

import httpx

from moneypath.telemetry.catalogue.vocabulary import Outcome
from moneypath.telemetry.errors import TelemetryError
from moneypath.telemetry.integrations.http_outcomes import (
    RESPONSE_LIMIT_BYTES,
    ProviderCall,
    ProviderCalls,
    outcome_of_broken_response,
)
from moneypath.telemetry.recording.recorder import Recorder

Calls = ProviderCalls[httpx.Request, httpx.Response]
Call = ProviderCall[httpx.Request, httpx.Response]

# Errors raised before the first byte of the request was written. After any other error it may have arrived.
NEVER_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.InvalidURL,
)
_SENDING = "send_request_headers.started"


def instrument(
    client: httpx.Client | httpx.AsyncClient,
    recorder: Recorder,
    *,
    provider: str,
    operation: str | Callable[[httpx.Request], str],
    classify: Callable[[httpx.Response], str | None] | None = None,
) -> None:
    """Record all requests of a client as attempts at one provider. Proxies and mounts are included.

    `operation` is one of the catalogue's, or a function that returns it for a request. `classify` returns
    the outcome of a response, such as `declined`, or None to decide by its status.
    """
    calls = Calls(recorder, provider, operation, classify)
    if isinstance(getattr(client, "_transport", None), TelemetryTransport | AsyncTelemetryTransport):
        raise TelemetryError(
            "The httpx client is already instrumented.",
            hint="Instrument it once, or each attempt counts twice.",
        )
    wrap: Callable[[Any], Any] = (
        (lambda inner: AsyncTelemetryTransport(inner, calls))
        if isinstance(client, httpx.AsyncClient)
        else (lambda inner: TelemetryTransport(inner, calls))
    )
    try:
        # httpx has no public way to replace the transports of an existing client.
        mounts: Any = {where: inner and wrap(inner) for where, inner in client._mounts.items()}
        transport = wrap(client._transport)
    except AttributeError as error:
        raise TelemetryError(
            f"httpx {httpx.__version__} stores the transports of a client in an unknown place.",
            hint="Make the client with transport=TelemetryTransport(httpx.HTTPTransport(), calls).",
        ) from error
    client._mounts, client._transport = mounts, transport


class TelemetryTransport(httpx.BaseTransport):
    """Records the requests that go through another transport."""

    def __init__(self, inner: httpx.BaseTransport, calls: Calls) -> None:
        self._inner = inner
        self._calls = calls

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request and time it until the last byte of its response or its error."""
        call = self._calls.begin(request, request.headers)
        sent = _SendingObserver(request, reports_sending=isinstance(self._inner, httpx.HTTPTransport))
        if sent.reports_sending:
            request.extensions["trace"] = sent.note
        try:
            response = self._inner.handle_request(request)
        except BaseException as error:
            call.record_error(error, sent.outcome_of(error))
            raise
        if response.is_closed:
            # The response was read already, as with transports for tests.
            call.record_response(response.status_code, response)
        else:
            end = _ResponseEnd(response, call, keeps_body=self._calls.classifies)
            response.stream = _Stream(_sync(response.stream), end)
        return response

    def __enter__(self) -> Self:
        self._inner.__enter__()
        return self

    def close(self) -> None:
        """Close the other transport."""
        self._inner.close()


class AsyncTelemetryTransport(httpx.AsyncBaseTransport):
    """Records the requests that go through another asynchronous transport."""

    def __init__(self, inner: httpx.AsyncBaseTransport, calls: Calls) -> None:
        self._inner = inner
        self._calls = calls

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request and time it until the last byte of its response or its error."""
        call = self._calls.begin(request, request.headers)
        sent = _SendingObserver(request, reports_sending=isinstance(self._inner, httpx.AsyncHTTPTransport))
        if sent.reports_sending:
            request.extensions["trace"] = sent.note_async
        try:
            response = await self._inner.handle_async_request(request)
        except BaseException as error:
            call.record_error(error, sent.outcome_of(error))
            raise
        if response.is_closed:
            call.record_response(response.status_code, response)
        else:
            end = _ResponseEnd(response, call, keeps_body=self._calls.classifies)
            response.stream = _AsyncStream(_async(response.stream), end)
        return response

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        return self

    async def aclose(self) -> None:
        """Close the other transport."""
        await self._inner.aclose()


class _SendingObserver:
    """Whether any part of a request was sent.

    httpx's own transports report it through the `trace` extension.
    """

    __slots__ = ("_before", "_is_sent", "reports_sending")

    def __init__(self, request: httpx.Request, *, reports_sending: bool) -> None:
        self.reports_sending = reports_sending
        self._is_sent = False
        self._before = request.extensions.get("trace")

    def note(self, event: str, info: dict[str, Any]) -> None:
        """Examine one event of the transport, and pass it on to the caller's own `trace` function."""
        if event.endswith(_SENDING):
            self._is_sent = True
        if self._before is not None:
            self._before(event, info)

    async def note_async(self, event: str, info: dict[str, Any]) -> None:
        """Do the same for an asynchronous transport."""
        if event.endswith(_SENDING):
            self._is_sent = True
        if self._before is not None:
            await self._before(event, info)

    def outcome_of(self, error: BaseException) -> Outcome:
        """Return the outcome of an attempt that ended without a status, by an error or a cancellation."""
        if isinstance(error, NEVER_SENT) or (self.reports_sending and not self._is_sent):
            return Outcome.FAILED
        return Outcome.INDETERMINATE


class _ResponseEnd:
    """Ends the call when its response has been read. Keeps the body if it must be classified."""

    __slots__ = ("_body", "_call", "_headers", "_status")

    def __init__(self, response: httpx.Response, call: Call, *, keeps_body: bool) -> None:
        self._call = call
        self._headers = response.headers
        self._status = response.status_code
        self._body: bytearray | None = bytearray() if keeps_body else None

    def keep(self, chunk: bytes) -> None:
        """Keep one raw chunk of the body."""
        if self._body is None:
            return
        if len(self._body) + len(chunk) > RESPONSE_LIMIT_BYTES:
            self._body = None
        else:
            self._body += chunk

    def end(self) -> None:
        """End the call with the complete response."""
        answer: httpx.Response | None = None
        if self._body is not None:
            try:
                answer = httpx.Response(self._status, headers=self._headers, content=bytes(self._body))
            except httpx.DecodingError as error:
                # The caller gets the same error; the response cannot be classified.
                self.broken(error)
        self._call.record_response(self._status, answer)

    def broken(self, error: BaseException) -> None:
        """End the call with a response that broke off."""
        self._call.record_error(error, outcome_of_broken_response(self._status), status=self._status)

    def abandoned(self) -> None:
        """End the call of a response that the caller did not read completely; its status decides."""
        self._call.record_response(self._status)


class _Stream(httpx.SyncByteStream):
    """The body of a response."""

    def __init__(self, stream: httpx.SyncByteStream, end: _ResponseEnd) -> None:
        self._stream = stream
        self._end = end

    def __iter__(self) -> Iterator[bytes]:
        try:
            for chunk in self._stream:
                self._end.keep(chunk)
                yield chunk
        except GeneratorExit:
            raise
        except BaseException as error:
            self._end.broken(error)
            raise
        self._end.end()

    def close(self) -> None:
        """Close the response."""
        self._end.abandoned()
        self._stream.close()


class _AsyncStream(httpx.AsyncByteStream):
    """The body of a response that is read asynchronously."""

    def __init__(self, stream: httpx.AsyncByteStream, end: _ResponseEnd) -> None:
        self._stream = stream
        self._end = end

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._stream:
                self._end.keep(chunk)
                yield chunk
        except GeneratorExit:
            raise
        except BaseException as error:
            self._end.broken(error)
            raise
        self._end.end()

    async def aclose(self) -> None:
        """Close the response."""
        self._end.abandoned()
        await self._stream.aclose()


def _sync(stream: httpx.SyncByteStream | httpx.AsyncByteStream) -> httpx.SyncByteStream:
    assert isinstance(stream, httpx.SyncByteStream)  # noqa: S101 - httpx asserts the same
    return stream


def _async(stream: httpx.SyncByteStream | httpx.AsyncByteStream) -> httpx.AsyncByteStream:
    assert isinstance(stream, httpx.AsyncByteStream)  # noqa: S101 - httpx asserts the same
    return stream
