"""No span lets a card number out: not its name, its attributes, their names, nor what its error says."""

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from moneypath.telemetry import correlation
from moneypath.telemetry.tracing import SpanKind
from moneypath.telemetry.tracing.finished import Finished
from moneypath.telemetry.tracing.record import RecordWriter

from .card_numbers import card_numbers, digits_left, disguised_cards, parts_of

TRACE = correlation.Trace("ab" * 16, "cd" * 8, sampled=True)


def written(name: str, attributes: Mapping[str, object], said: str) -> str:
    """Return what leaves of a span, as text without the ids that the library minted."""
    error = (ValueError, said)
    span = Finished(name, SpanKind.CLIENT, TRACE, None, 0.0, 1.0, None, None, attributes, error)
    record = RecordWriter().write(span, 0)
    return repr((record.name, record.attributes, record.error))


@given(drawn=disguised_cards())
def test_no_part_of_a_span_shows_a_number(drawn: tuple[str, str]) -> None:
    """In whatever disguise it came."""
    card, text = drawn
    attributes = {"note": text, "raw": text.encode(), "list": [text], text: "x"}
    shown = written(f"pay {text}", attributes, f"refused {text}")
    assert card not in digits_left(shown)
    assert "[" in shown


@given(card=card_numbers(), data=st.data())
def test_no_number_leaves_in_parts(card: str, data: st.DataObject) -> None:
    """Neighbouring attributes, or the items of one."""
    parts = data.draw(parts_of(card))
    split = {f"part{'abcd'[index]}": part for index, part in enumerate(parts)}
    assert card not in digits_left(written("pay", dict(split), "refused"))
    assert card not in digits_left(written("pay", {"items": list(parts)}, "refused"))


def test_what_is_harmless_stays() -> None:
    """Ids, times and amounts are what a span is read for."""
    attributes: dict[str, object] = {
        "order": "order-1234567",
        "http.response.status_code": 503,
        "moneypath.attempt": 2,
    }
    shown = written("authorize north", attributes, "timed out after 2.0 s")
    for kept in ("authorize north", "order-1234567", "503", "timed out after 2.0 s"):
        assert kept in shown
