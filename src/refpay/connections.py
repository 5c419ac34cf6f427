"""What one connection may take until its request is whole: bytes, seconds, and a place among the others."""

import asyncio
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_REFUSALS: Final = {
    408: b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
    431: b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
}


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Limits of every connection of a server. No client meets them that sends its requests without pausing.

    `frame_bytes` counts all of one request that is no body: request line, headers, chunk sizes, trailers. A
    request has `request_seconds` to be whole; the time of a connection's first request begins with the
    connection. An answer that nobody reads is given up after the same time. Of more than `connections`, the
    one that has waited the longest for a request is closed, one without any answer so far first; if none
    waits, the newcomer is.
    """

    frame_bytes: int = 32_768
    request_seconds: float = 15.0
    connections: int = 500


class BoundedHttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol within limits. Its parser has none, and takes quadratic time for one long header."""

    limits: ClassVar = ConnectionLimits()

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._frame_bytes = 0
        self._receives = False
        self._deadline: asyncio.TimerHandle | None = None
        self._answered = False
        self._waits_since: float | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a place, or leave."""
        if len(self.connections) >= self.limits.connections and not self._take_place():
            self.transport = transport
            transport.abort()
            return
        super().connection_made(transport)
        self._waits_since = self.loop.time()
        self._set_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the place back."""
        if self._deadline is not None:
            self._deadline.cancel()
        if self in self.connections:
            super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read what belongs to a request, within its time."""
        if self.transport.is_closing():
            return
        self._set_deadline()
        self._frame_bytes += len(data)
        super().data_received(data)
        if self._frame_bytes > self.limits.frame_bytes:
            self._refuse(431)
        elif self._receives:
            self._set_deadline()

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._receives = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Give the request to the service."""
        self._frame_bytes = 0
        self._waits_since = None
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Leave the size of a body to the service."""
        self._frame_bytes = max(0, self._frame_bytes - len(body))
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Leave the rest of the time to the service."""
        self._receives = False
        self._frame_bytes = 0
        self._drop_deadline()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Wait for the next request, which has its whole time if it has begun already."""
        self._answered = True
        self._waits_since = self.loop.time()
        if self._receives:
            self._drop_deadline()
            self._set_deadline()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Give the client time to read."""
        super().pause_writing()
        self._set_deadline()

    def resume_writing(self) -> None:
        """Go on."""
        super().resume_writing()
        self._drop_deadline()
        if self._receives:
            self._set_deadline()

    def _take_place(self) -> bool:
        """Close the connection that has waited the longest; return False if none waits."""
        others = (one for one in self.connections if isinstance(one, BoundedHttpProtocol))
        waiting = [
            (one._answered, one._waits_since, id(one), one) for one in others if one._waits_since is not None
        ]
        if not waiting:
            return False
        *_, longest = min(waiting)
        longest.transport.abort()
        self.connections.discard(longest)
        return True

    def _set_deadline(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.limits.request_seconds, self._end)

    def _drop_deadline(self) -> None:
        if self._deadline is not None and not self.flow.write_paused:
            self._deadline.cancel()
            self._deadline = None

    def _end(self) -> None:
        self._deadline = None
        if self._is_behind_another() and not self.flow.write_paused:
            self._set_deadline()
        else:
            self._refuse(408)

    def _is_behind_another(self) -> bool:
        """Tell whether a whole request is served on this connection, while the next one is not whole yet."""
        served = self.cycle is not None and not self.cycle.response_complete
        return bool(self.pipeline) or (served and not self.cycle.more_body)

    def _refuse(self, status: int) -> None:
        if (self.cycle is None or self.cycle.response_complete) and not self.flow.write_paused:
            self.transport.write(_REFUSALS[status])
            self.transport.close()
        else:
            self.transport.abort()
