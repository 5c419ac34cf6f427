"""Where in a trace a piece of work stands, as the W3C Trace Context recommendation writes it."""

import re
from typing import Final, NamedTuple, Self

from moneypath.telemetry.redaction import holds_card, redact

HEADER = "traceparent"
STATE_HEADER = "tracestate"
STATE_LENGTH_LIMIT = 512

LENGTH: Final = 55

# Finds what nearly no caller sends: anything but version 00 with no flag but `sampled`. Asked this way round
# there is no match to be made of the usual header.
_is_unusual: Final = re.compile(r"(?!00-(?!0{32})[0-9a-f]{32}+-(?!0{16})[0-9a-f]{16}+-0[01]\Z)").match
# version, trace id, parent id, flags; a later version may append fields of its own.
_ANY = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
).fullmatch
# Most ids hold no run of digits as long as the shortest card number, and need no closer look.
_has_long_number: Final = re.compile(r"[0-9]{12}").search
_SAMPLED = 0x01
_new_tuple: Final = tuple.__new__


class _Fields(NamedTuple):
    header: str
    state: str


class Trace(_Fields):
    """Name one span: `trace_id` in 32 and `span_id` in 16 lower-case hexadecimal digits.

    It is kept as the header it came in, because most are passed on and never read. `state` is what
    other tracing systems carry along; passed on, never read.
    """

    __slots__ = ()

    def __new__(cls, trace_id: str, span_id: str, sampled: bool, state: str = "") -> Self:
        """Make one from ids that are known to be well-formed."""
        return _new_tuple(cls, (f"00-{trace_id}-{span_id}-0{sampled:d}", state))

    @property
    def trace_id(self) -> str:
        """Return the id that all spans of the trace share."""
        return self.header[3:35]

    @property
    def span_id(self) -> str:
        """Return the id of the span itself."""
        return self.header[36:52]

    @property
    def sampled(self) -> bool:
        """Tell whether whoever began the trace keeps it."""
        return self.header[-1] == "1"


def trace_with(trace: Trace, span_id: str) -> Trace:
    """Return the same trace with another span at work."""
    header, state = trace
    return _new_tuple(Trace, (header[:36] + span_id + header[52:], state))


def parse(header: str | None, state: str | None = None) -> Trace | None:
    """Read a traceparent header; None if there is none or it is malformed, as the recommendation demands.

    Ids that read as a card number are as good as malformed: they would be logged, exported and passed on. Of
    random ids this takes seven in 100,000.
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
