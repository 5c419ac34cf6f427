"""Trace and span ids as W3C Trace Context defines them."""

import re
from typing import Final, NamedTuple, Self

from moneypath.telemetry.redaction import holds_card, redact

HEADER = "traceparent"
STATE_HEADER = "tracestate"
STATE_LENGTH_LIMIT = 512

LENGTH: Final = 55

# Matches the rare header: anything but version 00 without flags other than `sampled`. The pattern is
# negated, so that no match object is made for the usual header.
_is_unusual: Final = re.compile(r"(?!00-(?!0{32})[0-9a-f]{32}+-(?!0{16})[0-9a-f]{16}+-0[01]\Z)").match
# Version, trace id, parent id, flags. A later version may append fields.
_ANY = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
).fullmatch
# Most ids have no run of digits as long as the shortest card number and need no further check.
_has_long_number: Final = re.compile(r"[0-9]{12}").search
_SAMPLED = 0x01
_new_tuple: Final = tuple.__new__


class _Fields(NamedTuple):
    header: str
    state: str


class Trace(_Fields):
    """The ids of one span: `trace_id` is 32 and `span_id` 16 lower-case hexadecimal digits.

    It stores the header as it came in, because most headers are passed on and never read. `state` is the
    `tracestate` of other tracing systems, passed on unread.
    """

    __slots__ = ()

    def __new__(cls, trace_id: str, span_id: str, sampled: bool, state: str = "") -> Self:
        """Make a trace from ids that are known to be well-formed."""
        return _new_tuple(cls, (f"00-{trace_id}-{span_id}-0{sampled:d}", state))

    @property
    def trace_id(self) -> str:
        """Return the id of the trace."""
        return self.header[3:35]

    @property
    def span_id(self) -> str:
        """Return the id of the span."""
        return self.header[36:52]

    @property
    def sampled(self) -> bool:
        """Return whether the service that started the trace sampled it."""
        return self.header[-1] == "1"


def trace_with(trace: Trace, span_id: str) -> Trace:
    """Return the same trace with another span id."""
    header, state = trace
    return _new_tuple(Trace, (header[:36] + span_id + header[52:], state))


def parse(header: str | None, state: str | None = None) -> Trace | None:
    """Parse a traceparent header. Return None if there is none or it is malformed, as W3C requires.

    Ids that look like a card number count as malformed, because they would be logged, exported and passed
    on. Of random ids this rejects 7 in 100,000.
    """
    if not header:
        return None
    kept = state if state and len(state) <= STATE_LENGTH_LIMIT and redact(state) == state else ""
    if not _is_unusual(header):
        trace = _new_tuple(Trace, (header, kept))
    else:
        match = _ANY(header)
        if match is None or (match[1] == "00" and match[5] is not None):
            return None
        trace = Trace(match[2], match[3], bool(int(match[4], 16) & _SAMPLED), kept)
    if _has_long_number(trace.header) and (holds_card(trace.trace_id) or holds_card(trace.span_id)):
        return None
    return trace
