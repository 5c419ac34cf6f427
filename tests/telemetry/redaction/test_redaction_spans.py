"""No span lets a card number out: not its name, its attributes, their names, nor what its error says."""

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from moneypath.telemetry import correlation
from moneypath.telemetry.tracing import SpanKind
from moneypath.telemetry.tracing.finished import STATUS_CODE, Ending, Finished
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


def ended(ending: Ending, payment_id: str | None = None) -> Finished:
    """Return a request's span that ended like that and says no more, but perhaps its payment."""
    return Finished(
        ending.name,
        SpanKind.SERVER,
        TRACE,
        None,
        0.0,
        1.0,
        None,
        payment_id,
        ending.attributes,
        None,
        ending,
    )


@given(drawn=disguised_cards())
def test_no_way_to_end_shows_a_number(drawn: tuple[str, str]) -> None:
    """However often it comes: what was masked is not remembered as harmless."""
    card, text = drawn
    writer = RecordWriter()
    for ending in (Ending(f"GET {text}", {"http.route": "/x"}), Ending("GET /x", {"http.route": text})):
        for _ in range(2):
            record = writer.write(ended(ending), 0)
            assert card not in digits_left(repr((record.name, record.attributes)))


def test_what_is_remembered_of_an_ending_is_what_would_be_written() -> None:
    """The same for the first span and the next; what one of them says besides is its own."""
    writer = RecordWriter()
    ending = Ending("GET /x", {"http.request.method": "GET", "http.route": "/x", STATUS_CODE: 200})
    first, second = writer.write(ended(ending), 0), writer.write(ended(ending), 0)
    assert first == second == RecordWriter().write(ended(ending)._replace(ending=None), 0)
    paid = writer.write(ended(ending, "p-1"), 0)
    assert paid.attributes == {"moneypath.payment_id": "p-1", **ending.attributes}
    failed = writer.write(ended(ending)._replace(outcome="failed"), 0)
    assert failed.is_failed
    unsampled = TRACE.__class__(TRACE.trace_id, TRACE.span_id, sampled=False)
    kept = writer.write(ended(ending)._replace(trace=unsampled), 0)
    assert kept.attributes["moneypath.kept"] == "slow"
    assert writer.write(ended(ending), 0) == first


@given(card=card_numbers())
def test_a_payment_beside_an_ending_is_still_looked_at(card: str) -> None:
    """Also behind an ending that is known to be harmless."""
    writer = RecordWriter()
    ending = Ending("GET /x", {"http.route": "/x", STATUS_CODE: 200})
    writer.write(ended(ending), 0)
    assert card not in digits_left(repr(writer.write(ended(ending, card), 0).attributes))
