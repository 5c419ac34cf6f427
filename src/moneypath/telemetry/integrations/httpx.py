"""httpx: transports that record the requests to a provider, for clients of both kinds.

`httpx.Client(transport=TelemetryTransport(httpx.HTTPTransport(), calls))`, or `instrument(client, ...)` for
a client that exists. Every attempt is recorded from its first byte to the end of its answer.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Self

import httpx

from moneypath.telemetry.catalogue.vocabulary import Outcome
from moneypath.telemetry.errors import TelemetryError
from moneypath.telemetry.integrations.http_outcomes import (
    ANSWER_LIMIT_BYTES,
    ProviderCall,
    ProviderCalls,
    of_broken_answer,
)
from moneypath.telemetry.recording.recorder import Recorder

Calls = ProviderCalls[httpx.Request, httpx.Response]
Call = ProviderCall[httpx.Request, httpx.Response]

# Raised before the first byte of the request was written; of anything else that breaks it may have arrived.
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
    """Record all requests of a client as attempts at one provider, its proxies' and mounts' included.

    `operation` is one of the catalogue's, or a function that names it from a request. `classify` names the
    outcome of an answer, `declined` above all, or returns None to leave it to the status.
    """
    calls = Calls(recorder, provider, operation, classify)
    if isinstance(getattr(client, "_transport", None), TelemetryTransport | AsyncTelemetryTransport):
        raise TelemetryError("httpx client: is instrumented already", hint="each attempt would count twice")
    wrap: Callable[[Any], Any] = (
        (lambda inner: AsyncTelemetryTransport(inner, calls))
        if isinstance(client, httpx.AsyncClient)
        else (lambda inner: TelemetryTransport(inner, calls))
    )
    try:
        # httpx takes transports when a client is made and has no way to add one to it.
        mounts: Any = {where: inner and wrap(inner) for where, inner in client._mounts.items()}
        transport = wrap(client._transport)
    except AttributeError as error:
        raise TelemetryError(
            f"httpx {httpx.__version__}: keeps a client's transports elsewhere",
            hint="make the client with transport=TelemetryTransport(httpx.HTTPTransport(), calls)",
        ) from error
    client._mounts, client._transport = mounts, transport


class TelemetryTransport(httpx.BaseTransport):
    """Record what goes through another transport."""

    def __init__(self, inner: httpx.BaseTransport, calls: Calls) -> None:
        self._inner = inner
        self._calls = calls

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; its record ends with its answer's last byte, or with what broke it."""
        call = self._calls.begin(request, request.headers)
        sent = _Sent(request, is_told=isinstance(self._inner, httpx.HTTPTransport))
        if sent.is_told:
            request.extensions["trace"] = sent.note
        try:
            response = self._inner.handle_request(request)
        except BaseException as error:
            call.broke(error, sent.outcome_of(error))
            raise
        if response.is_closed:
            # Read already: a transport for tests makes its answers whole.
            call.answered(response.status_code, response)
        else:
            ending = _Ending(response, call, keeps=self._calls.classifies)
            response.stream = _Stream(_sync(response.stream), ending)
        return response

    def __enter__(self) -> Self:
        self._inner.__enter__()
        return self

    def close(self) -> None:
        """Close the other transport."""
        self._inner.close()


class AsyncTelemetryTransport(httpx.AsyncBaseTransport):
    """Record what goes through another asynchronous transport."""

    def __init__(self, inner: httpx.AsyncBaseTransport, calls: Calls) -> None:
        self._inner = inner
        self._calls = calls

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; its record ends with its answer's last byte, or with what broke it."""
        call = self._calls.begin(request, request.headers)
        sent = _Sent(request, is_told=isinstance(self._inner, httpx.AsyncHTTPTransport))
        if sent.is_told:
            request.extensions["trace"] = sent.note_async
        try:
            response = await self._inner.handle_async_request(request)
        except BaseException as error:
            call.broke(error, sent.outcome_of(error))
            raise
        if response.is_closed:
            call.answered(response.status_code, response)
        else:
            ending = _Ending(response, call, keeps=self._calls.classifies)
            response.stream = _AsyncStream(_async(response.stream), ending)
        return response

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        return self

    async def aclose(self) -> None:
        """Close the other transport."""
        await self._inner.aclose()


class _Sent:
    """Whether any of a request may have left: httpx's own transports tell, through the `trace` extension."""

    __slots__ = ("_before", "_is_sent", "is_told")

    def __init__(self, request: httpx.Request, *, is_told: bool) -> None:
        self.is_told = is_told
        self._is_sent = False
        self._before = request.extensions.get("trace")

    def note(self, event: str, info: dict[str, Any]) -> None:
        """Take one event of the transport, and pass it on to whom the caller gave."""
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
        """Return what an attempt came to that ended without a status, a cancelled one included."""
        if isinstance(error, NEVER_SENT) or (self.is_told and not self._is_sent):
            return Outcome.FAILED
        return Outcome.INDETERMINATE


class _Ending:
    """Keep an answer as it is read, as far as it is to be classified, and end the call with it."""

    __slots__ = ("_call", "_headers", "_kept", "_status")

    def __init__(self, response: httpx.Response, call: Call, *, keeps: bool) -> None:
        self._call = call
        self._headers = response.headers
        self._status = response.status_code
        self._kept: bytearray | None = bytearray() if keeps else None

    def keep(self, chunk: bytes) -> None:
        """Take one chunk of the answer as it came, compressed or not."""
        if self._kept is None:
            return
        if len(self._kept) + len(chunk) > ANSWER_LIMIT_BYTES:
            self._kept = None
        else:
            self._kept += chunk

    def end(self) -> None:
        """End with the whole answer."""
        answer: httpx.Response | None = None
        if self._kept is not None:
            try:
                answer = httpx.Response(self._status, headers=self._headers, content=bytes(self._kept))
            except httpx.DecodingError as error:
                # The caller is about to be told; what the answer says cannot be known.
                self.broken(error)
        self._call.answered(self._status, answer)

    def broken(self, error: BaseException) -> None:
        """End with an answer that broke off."""
        self._call.broke(error, of_broken_answer(self._status), status=self._status)

    def left(self) -> None:
        """End with an answer that the caller did not read to its end: its status has to do."""
        self._call.answered(self._status)


class _Stream(httpx.SyncByteStream):
    """The bytes of an answer."""

    def __init__(self, stream: httpx.SyncByteStream, ending: _Ending) -> None:
        self._stream = stream
        self._ending = ending

    def __iter__(self) -> Iterator[bytes]:
        try:
            for chunk in self._stream:
                self._ending.keep(chunk)
                yield chunk
        except GeneratorExit:
            raise
        except BaseException as error:
            self._ending.broken(error)
            raise
        self._ending.end()

    def close(self) -> None:
        """Close the answer."""
        self._ending.left()
        self._stream.close()


class _AsyncStream(httpx.AsyncByteStream):
    """The bytes of an answer that is read asynchronously."""

    def __init__(self, stream: httpx.AsyncByteStream, ending: _Ending) -> None:
        self._stream = stream
        self._ending = ending

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._stream:
                self._ending.keep(chunk)
                yield chunk
        except GeneratorExit:
            raise
        except BaseException as error:
            self._ending.broken(error)
            raise
        self._ending.end()

    async def aclose(self) -> None:
        """Close the answer."""
        self._ending.left()
        await self._stream.aclose()


def _sync(stream: httpx.SyncByteStream | httpx.AsyncByteStream) -> httpx.SyncByteStream:
    assert isinstance(stream, httpx.SyncByteStream)  # noqa: S101 - httpx asserts the same
    return stream


def _async(stream: httpx.SyncByteStream | httpx.AsyncByteStream) -> httpx.AsyncByteStream:
    assert isinstance(stream, httpx.AsyncByteStream)  # noqa: S101 - httpx asserts the same
    return stream
