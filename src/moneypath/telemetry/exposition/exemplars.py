"""Renders exemplars as OpenMetrics defines them."""

import re

from moneypath.telemetry.exposition.samples import Exemplar
from moneypath.telemetry.redaction import redact

# OpenMetrics allows 128 characters for label names and values; these two take 63.
_TRACE_ID = re.compile(r"[0-9a-f]{32}")
_SPAN_ID = re.compile(r"[0-9a-f]{16}")
# In prose, letters around digits mean that they are no card number. Here the digits are checked on their
# own.
_DIGITS = re.compile(r"[0-9]{12,}")


def ids(exemplar: Exemplar) -> dict[str, str] | None:
    """Return the labels of an exemplar: its trace id and span id, nothing else.

    Returns None if the ids are malformed or look like a card number; a trace id may come from a caller.
    """
    trace, _, _ = exemplar
    trace_id, span_id = str(trace.trace_id), str(trace.span_id)
    if not _TRACE_ID.fullmatch(trace_id) or not _SPAN_ID.fullmatch(span_id):
        return None
    if any(redact(digits) != digits for given in (trace_id, span_id) for digits in _DIGITS.findall(given)):
        return None
    return {"trace_id": trace_id, "span_id": span_id}


def suffix(exemplar: Exemplar) -> str:
    """Return the text to append to a sample's line, empty if the exemplar must not be shown."""
    labels = ids(exemplar)
    if labels is None:
        return ""
    pairs = ",".join(f'{name}="{value}"' for name, value in labels.items())
    _, value, at = exemplar
    return f" # {{{pairs}}} {float(value)!r} {at:.3f}"
