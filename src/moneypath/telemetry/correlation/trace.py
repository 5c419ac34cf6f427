"""Where in a trace a piece of work stands, as the W3C Trace Context recommendation writes it."""

import re
from dataclasses import dataclass

from moneypath.telemetry.redaction import redact

HEADER = "traceparent"
STATE_HEADER = "tracestate"
STATE_LENGTH_LIMIT = 512

# version, trace id, parent id, flags; a later version may append fields of its own.
_TRACEPARENT = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
)
# Most ids hold no run of digits as long as the shortest card number, and need no closer look.
_DIGITS = re.compile(r"[0-9]{12}")
_SAMPLED = 0x01


@dataclass(frozen=True, slots=True)
class Trace:
    """Name one span: `trace_id` in 32 and `span_id` in 16 lower-case hexadecimal digits."""

    trace_id: str
    span_id: str
    sampled: bool
    # What other tracing systems carry along; passed on, never read.
    state: str = ""

    @property
    def header(self) -> str:
        """Return the value of the traceparent header."""
        return f"00-{self.trace_id}-{self.span_id}-{int(self.sampled):02x}"


def parse(header: str | None, state: str | None = None) -> Trace | None:
    """Read a traceparent header; None if there is none or it is malformed, as the recommendation demands.

    Ids that read as a card number are as good as malformed: they would be logged, exported and passed on. Of
    random ids this takes seven in 100,000.
    """
    match = _TRACEPARENT.fullmatch(header or "")
    if match is None or (match[1] == "00" and match[5] is not None):
        return None
    if _DIGITS.search(match.string) and any(redact(each) != each for each in (match[2], match[3])):
        return None
    kept = state if state and len(state) <= STATE_LENGTH_LIMIT and redact(state) == state else ""
    return Trace(match[2], match[3], sampled=bool(int(match[4], 16) & _SAMPLED), state=kept)
