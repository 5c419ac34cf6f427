"""No id or state of a caller's trace is a card number, so none reaches a span, a log or an exemplar."""

from hypothesis import given
from hypothesis import strategies as st

from moneypath.telemetry import Catalogue, correlation, setup
from moneypath.telemetry.redaction import redact
from moneypath.telemetry.redaction.issuers import usual_lengths

from .card_numbers import card_numbers, disguised_cards

RECORDER = setup(
    Catalogue.build(
        {
            "providers": ("north", "south"),
            "currencies": ("EUR",),
            "checks": ("ledger_balance",),
            "schemes": ("visa",),
        }
    ),
    service="refpay-api",
)


def context_of(trace_id: str, span_id: str, state: str = "") -> correlation.Context:
    """Return the context of a caller's headers."""
    return correlation.extract({"traceparent": f"00-{trace_id}-{span_id}-01", "tracestate": state})


@given(card=card_numbers())
def test_no_id_of_a_callers_trace_is_a_number(card: str) -> None:
    """A new trace begins, as for a malformed header, and no exemplar has the caller's id."""
    if len(card) <= 16:
        assert context_of("ab" * 16, card.ljust(16, "a")).trace is None
    if len(card) in usual_lengths(card[:4]):
        context = context_of(card.ljust(32, "0"), "ab" * 8)
        assert context.trace is None
        with correlation.entered(context), RECORDER.payment("authorize") as record:
            record.finish("succeeded", "north")
        assert card not in RECORDER.render(openmetrics=True).decode()


@given(drawn=disguised_cards())
def test_no_state_of_a_callers_trace_holds_a_number(drawn: tuple[str, str]) -> None:
    """Such a state is not passed on."""
    trace = context_of("ab" * 16, "cd" * 8, f"vendor={drawn[1]}").trace
    assert trace is not None
    assert trace.state == ""


@given(bits=st.integers(1, 2**128 - 1), span=st.integers(1, 2**64 - 1))
def test_other_ids_are_taken(bits: int, span: int) -> None:
    """Nearly every random id, and its state, is still accepted."""
    trace = context_of(f"{bits:032x}", f"{span:016x}", "vendor=a1").trace
    if trace is None:
        assert redact(f"{bits:032x} {span:016x}") != f"{bits:032x} {span:016x}"
    else:
        assert (trace.trace_id, trace.span_id, trace.state) == (f"{bits:032x}", f"{span:016x}", "vendor=a1")
