"""Spans as they leave the process: outcome inferred, redacted and bounded, in the batch exporter's thread."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from moneypath.telemetry.catalogue.vocabulary import Outcome
from moneypath.telemetry.correlation import Trace
from moneypath.telemetry.redaction import CARD_MASK, SECRET_MASK, is_secret_name, mask_split_cards, redact
from moneypath.telemetry.tracing.span_data import (
    FAULT_DOMAIN,
    KEEP_REASON,
    OUTCOME,
    PAYMENT_ID,
    SpanData,
    SpanKind,
    SpanPreset,
    infer_fault_domain,
    infer_keep_reason,
    infer_outcome,
)

ATTRIBUTES_LIMIT: Final = 64
ITEMS_LIMIT: Final = 32
NAME_LIMIT: Final = 128
TEXT_LIMIT: Final = 1024
# Redaction examines this many characters.
RAW_LIMIT: Final = 8192
_NUMBER_PARTS: Final = "0123456789 .-\u00a0\u2010\u2011\u2012\u2013\u2014\u2015"
REMEMBERED_LIMIT: Final = 2048
REMEMBERED_LENGTH: Final = 64
_INTEGER_BITS: Final = 63
# Smaller numbers have too few digits for a card number.
_SMALLEST_CARD: Final = 10**11

_NOTHING: Final = (None, None, None)

Scalar = str | bool | int | float
Value = Scalar | Sequence[Scalar]


class RedactedSpan(NamedTuple):
    """A span to export. Times are nanoseconds since the epoch; `error` is a class name and a text."""

    name: str
    kind: SpanKind
    trace: Trace
    parent: Trace | None
    start_time_ns: int
    end_time_ns: int
    attributes: Mapping[str, Value]
    dropped_attributes: int
    error: tuple[str, str] | None
    is_failed: bool

    @property
    def is_parent_remote(self) -> bool:
        """Return whether the parent is in another process, as for an incoming request or message."""
        return self.parent is not None and self.kind in (SpanKind.SERVER, SpanKind.CONSUMER)


class SpanRedactor:
    """Infers the outcome of spans, redacts and bounds them. Used by one thread.

    Most names and many values repeat, so texts that were found harmless are cached. Texts that were masked
    are not: a cache of card numbers would be one more place to leak them.
    """

    def __init__(self) -> None:
        self._harmless: set[str] = set()
        self._names: dict[str, bool] = {}
        self._presets: dict[SpanPreset, Mapping[str, Value]] = {}

    def write(self, span: SpanData, offset_ns: int) -> RedactedSpan:
        """Return the span to export. `offset_ns` converts the tracer's clock to the epoch."""
        name, kind, trace, parent, started_at, ended, outcome, payment_id, _, error, preset = span
        said = outcome, payment_id, error
        if preset is None or said != _NOTHING or not (trace.sampled and type(kind) is SpanKind):
            return self._write(span, offset_ns)
        # Nothing was added to the preset, whose redacted attributes are cached.
        attributes = self._presets.get(preset)
        if attributes is None:
            record = self._write(span, offset_ns)
            self._remember(preset, record)
            return record
        start_time_ns, end_time_ns = offset_ns + round(started_at * 1e9), offset_ns + round(ended * 1e9)
        return RedactedSpan(name, kind, trace, parent, start_time_ns, end_time_ns, attributes, 0, None, False)

    def _remember(self, preset: SpanPreset, record: RedactedSpan) -> None:
        if (record.name, record.attributes) == (preset.name, preset.attributes):
            if len(self._presets) >= REMEMBERED_LIMIT:
                self._presets.clear()
            self._presets[preset] = MappingProxyType({**record.attributes})

    def _write(self, span: SpanData, offset_ns: int) -> RedactedSpan:
        outcome = infer_outcome(span)
        ours: dict[str, object | None] = {
            OUTCOME: outcome,
            FAULT_DOMAIN: infer_fault_domain(span, outcome),
            KEEP_REASON: infer_keep_reason(span, outcome),
            PAYMENT_ID: span.payment_id,
        }
        stated = {name: value for name, value in ours.items() if value is not None}
        given = {name: value for name, value in span.attributes.items() if name not in ours}
        exported = list({**stated, **given}.items())[:ATTRIBUTES_LIMIT]
        attributes = {self._name(name): self._value(name, value) for name, value in exported}
        mask_split_cards(attributes)
        error = span.error
        return RedactedSpan(
            name=self._name(span.name),
            kind=span.kind if isinstance(span.kind, SpanKind) else SpanKind.INTERNAL,
            trace=span.trace,
            parent=span.parent,
            start_time_ns=offset_ns + round(span.started_at * 1e9),
            end_time_ns=offset_ns + round(span.ended * 1e9),
            attributes=attributes,
            dropped_attributes=len(stated) + len(given) - len(exported),
            error=None if error is None else (self._name(error[0].__qualname__), self._text(error[1])),
            is_failed=error is not None or outcome in (Outcome.FAILED, Outcome.INDETERMINATE),
        )

    def _name(self, name: object) -> str:
        return self._text(name)[:NAME_LIMIT]

    def _value(self, name: object, value: object) -> Value:
        if self._is_secret(self._name(name)):
            return SECRET_MASK
        if isinstance(value, list | tuple | set | frozenset):
            cleaned = [self._scalar(item) for item in list(value)[:ITEMS_LIMIT]]
            # OpenTelemetry requires the items of a list to have one type.
            return cleaned if len({type(item) for item in cleaned}) < 2 else [str(item) for item in cleaned]
        return self._scalar(value)

    def _is_secret(self, name: str) -> bool:
        if name not in self._names:
            if len(self._names) >= REMEMBERED_LIMIT:
                self._names.clear()
            self._names[name] = is_secret_name(name)
        return self._names[name]

    def _scalar(self, value: object) -> Scalar:
        if isinstance(value, bool):
            return value
        if isinstance(value, int):
            if -_SMALLEST_CARD < value < _SMALLEST_CARD:
                return int(value)
            text = str(value) if value.bit_length() <= _INTEGER_BITS else hex(value)[:TEXT_LIMIT]
            is_harmless = value.bit_length() <= _INTEGER_BITS and redact(text) == text
            return int(value) if is_harmless else redact(text)
        if isinstance(value, float):
            whole = f"{value:.0f}"
            return CARD_MASK if value.is_integer() and redact(whole) != whole else float(value)
        return self._text(value)

    def _text(self, value: object) -> str:
        text = _show(value)
        if text in self._harmless:
            return text
        redacted = redact(text)[:TEXT_LIMIT]
        if redacted == text and len(text) <= REMEMBERED_LENGTH:
            if len(self._harmless) >= REMEMBERED_LIMIT:
                self._harmless.clear()
            self._harmless.add(text)
        return redacted


def _show(value: object) -> str:
    if isinstance(value, str):
        text = str.__str__(value)
    elif isinstance(value, bytes):
        text = value[: RAW_LIMIT + 1].decode(errors="backslashreplace")
    else:
        try:
            text = repr(value)
        except Exception as error:  # noqa: BLE001 - a value that cannot be shown costs its own text alone
            text = f"<{type(value).__name__} without repr: {type(error).__name__}>"
    if len(text) > RAW_LIMIT:
        # Drop digits at the cut: part of a card number would not be recognised.
        text = text[:RAW_LIMIT].rstrip(_NUMBER_PARTS)
    # A lone surrogate cannot be encoded and would cost the whole batch.
    return text if text.isascii() else text.encode(errors="replace").decode()
