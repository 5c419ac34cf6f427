"""No exported span contains a card number, in name, attributes, attribute names or error."""

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from moneypath.telemetry import correlation
from moneypath.telemetry.tracing import SpanKind
from moneypath.telemetry.tracing.redacted_span import SpanRedactor
from moneypath.telemetry.tracing.span_data import STATUS_CODE, SpanData, SpanPreset

from .card_numbers import card_numbers, digits_left, disguised_cards, parts_of

TRACE = correlation.Trace("ab" * 16, "cd" * 8, sampled=True)


def written(name: str, attributes: Mapping[str, object], said: str) -> str:
    """Return an exported span as text, without the ids that the library made."""
    error = (ValueError, said)
    span = SpanData(name, SpanKind.CLIENT, TRACE, None, 0.0, 1.0, None, None, attributes, error)
    record = SpanRedactor().write(span, 0)
    return repr((record.name, record.attributes, record.error))


@given(drawn=disguised_cards())
def test_no_part_of_a_span_shows_a_number(drawn: tuple[str, str]) -> None:
    """In any disguise."""
    card, text = drawn
    attributes = {"note": text, "raw": text.encode(), "list": [text], text: "x"}
    shown = written(f"pay {text}", attributes, f"refused {text}")
    assert card not in digits_left(shown)
    assert "[" in shown


@given(card=card_numbers(), data=st.data())
def test_no_number_leaves_in_parts(card: str, data: st.DataObject) -> None:
    """Not in neighbouring attributes, nor in the items of one."""
    parts = data.draw(parts_of(card))
    split = {f"part{'abcd'[index]}": part for index, part in enumerate(parts)}
    assert card not in digits_left(written("pay", dict(split), "refused"))
    assert card not in digits_left(written("pay", {"items": list(parts)}, "refused"))


def test_what_is_harmless_stays() -> None:
    """Ids, times and amounts stay."""
    attributes: dict[str, object] = {
        "order": "order-1234567",
        "http.response.status_code": 503,
        "moneypath.attempt": 2,
    }
    shown = written("authorize north", attributes, "timed out after 2.0 s")
    for kept in ("authorize north", "order-1234567", "503", "timed out after 2.0 s"):
        assert kept in shown


def ended(preset: SpanPreset, payment_id: str | None = None) -> SpanData:
    """Return a request's span that ended with this preset, and perhaps with a payment."""
    return SpanData(
        preset.name,
        SpanKind.SERVER,
        TRACE,
        None,
        0.0,
        1.0,
        None,
        payment_id,
        preset.attributes,
        None,
        preset,
    )


@given(drawn=disguised_cards())
def test_no_preset_shows_a_number(drawn: tuple[str, str]) -> None:
    """However often it occurs: masked text is never cached as harmless."""
    card, text = drawn
    writer = SpanRedactor()
    for preset in (
        SpanPreset(f"GET {text}", {"http.route": "/x"}),
        SpanPreset("GET /x", {"http.route": text}),
    ):
        for _ in range(2):
            record = writer.write(ended(preset), 0)
            assert card not in digits_left(repr((record.name, record.attributes)))


def test_what_is_cached_of_a_preset_is_what_would_be_written() -> None:
    """The same for the first span and the next; anything that is added to one is its own."""
    writer = SpanRedactor()
    preset = SpanPreset("GET /x", {"http.request.method": "GET", "http.route": "/x", STATUS_CODE: 200})
    first, second = writer.write(ended(preset), 0), writer.write(ended(preset), 0)
    assert first == second == SpanRedactor().write(ended(preset)._replace(preset=None), 0)
    paid = writer.write(ended(preset, "p-1"), 0)
    assert paid.attributes == {"moneypath.payment_id": "p-1", **preset.attributes}
    failed = writer.write(ended(preset)._replace(outcome="failed"), 0)
    assert failed.is_failed
    unsampled = TRACE.__class__(TRACE.trace_id, TRACE.span_id, sampled=False)
    kept = writer.write(ended(preset)._replace(trace=unsampled), 0)
    assert kept.attributes["moneypath.kept"] == "slow"
    assert writer.write(ended(preset), 0) == first


@given(card=card_numbers())
def test_a_payment_beside_a_preset_is_still_redacted(card: str) -> None:
    """Also after a preset that is known to be harmless."""
    writer = SpanRedactor()
    preset = SpanPreset("GET /x", {"http.route": "/x", STATUS_CODE: 200})
    writer.write(ended(preset), 0)
    assert card not in digits_left(repr(writer.write(ended(preset, card), 0).attributes))
