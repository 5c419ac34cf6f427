"""No output of the library contains a card number: metrics, labels, logs, ids, errors."""

import io
import json
import logging
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from moneypath.telemetry import Catalogue, Recorder, correlation, logs, setup
from moneypath.telemetry.catalogue import MetricKind, MetricSpec
from moneypath.telemetry.errors import TelemetryError

from .card_numbers import CARD, GROUPED, card_numbers, digits_left, disguised_cards, grouped, parts_of

VOCABULARY = {
    "providers": ("north", "south"),
    "currencies": ("EUR", "USD"),
    "checks": ("ledger_balance",),
    "schemes": ("visa",),
}
CATALOGUE = Catalogue.build(VOCABULARY)
ATTEMPTS = "moneypath_provider_attempts_total"
LABELS = {"provider": "north", "operation": "authorize", "outcome": "succeeded"}


@pytest.fixture(scope="module")
def recorder() -> Recorder:
    """Return one recorder for all examples."""
    return setup(CATALOGUE, service="refpay-api")


def wirings(recorder: Recorder, text: str) -> Mapping[str, Callable[[], object]]:
    """Return every wrong call that takes a caller's text."""
    kind = MetricKind.COUNTER
    digits = text if text.isdigit() else CARD
    return {
        "service": lambda: setup(CATALOGUE, service=f"s{text}"),
        "metric to record": lambda: setup(CATALOGUE, service="api", metrics=[text]),
        "counter": lambda: recorder.counter(text),
        "gauge": lambda: recorder.gauge(f"moneypath_{text}"),
        "label value": lambda: recorder.counter(ATTEMPTS).bind(**{**LABELS, "provider": text}),
        "label name": lambda: recorder.counter(ATTEMPTS).bind(**{**LABELS, text: "north"}),
        "closed label": lambda: recorder.counter(ATTEMPTS).close_label("provider", (text,)),
        "provider": lambda: Catalogue.build({**VOCABULARY, "providers": (text,)}),
        "slot": lambda: Catalogue.build({**VOCABULARY, text: ("x",)}),
        "threshold": lambda: Catalogue.build(VOCABULARY, latency_thresholds={text: [1.0]}),
        "name": lambda: MetricSpec(text, kind, "help"),
        "name of digits": lambda: MetricSpec(f"moneypath_{digits}_total", kind, "help"),
        "help": lambda: MetricSpec("moneypath_x_total", kind, f"help {text}"),
        "declared value": lambda: MetricSpec("moneypath_x_total", kind, "help", labels={"a": (text,)}),
    }


WIRINGS = list(wirings(setup(CATALOGUE, service="api"), CARD))


@pytest.mark.parametrize("wiring", WIRINGS)
@given(drawn=disguised_cards())
def test_error_at_wiring_does_not_repeat_the_number(wiring: str, drawn: tuple[str, str]) -> None:
    """It is refused, and neither the error nor its traceback contains the number."""
    card, text = drawn
    with pytest.raises(TelemetryError) as caught:
        wirings(SHARED, text)[wiring]()
    for said in (*traceback.format_exception_only(caught.value), caught.value.what, caught.value.hint):
        assert card not in digits_left(said)


SHARED = setup(CATALOGUE, service="refpay-api")


@given(card=card_numbers())
def test_plain_number_is_refused_where_it_would_be_well_formed(card: str) -> None:
    """A name of digits follows every other rule for names, labels and services."""
    for wiring in ("service", "provider", "name of digits", "help", "declared value"):
        with pytest.raises(TelemetryError, match=r"card number|service name"):
            wirings(SHARED, card)[wiring]()


def test_hint_is_masked_as_the_rest_is() -> None:
    """Code that raises one of the library's errors need not redact it."""
    error = TelemetryError(f"refused {CARD}", hint=f"password=hunter2, {CARD}")
    assert (error.what, error.hint) == ("refused [card]", "password=[secret], [card]")


def test_route_template_with_a_number_is_refused() -> None:
    """The values of an open label are checked when they are set."""
    spec = MetricSpec("moneypath_x_total", MetricKind.COUNTER, "help", labels={"a": ()}, series_budget=9)
    family = setup(Catalogue.of([*CATALOGUE, spec]), service="api").counter(spec.name)
    with pytest.raises(TelemetryError, match="card number"):
        family.close_label("a", (f"/pay/{CARD}",))
    family.close_label("a", ("/pay/{card}",))


def test_catalogue_file_with_a_number_is_refused_without_it(tmp_path: Path) -> None:
    """Not even the traceback with its causes contains the file's text."""
    for place in ('"kind": "counter"', '"help"', '"buckets": []'):
        file = tmp_path / "catalogue.json"
        file.write_text(CATALOGUE.to_json().replace(place, f'"{CARD}": "{CARD}"', 1), encoding="utf-8")
        with pytest.raises(TelemetryError) as caught:
            Catalogue.load(file)
        assert CARD not in "".join(traceback.format_exception(caught.value))


@given(drawn=disguised_cards(), number=st.integers(0, 2**64))
def test_no_number_reaches_the_exposition(drawn: tuple[str, str], number: int) -> None:
    """Labels are closed: a record with another value is counted as a drop."""
    card, text = drawn
    counter = SHARED.counter(ATTEMPTS)
    counter.inc(1, **{**LABELS, "provider": text})
    counter.inc(1, **{**LABELS, "outcome": card})
    with SHARED.payment(text) as record:
        record.finish("succeeded", "north")
    with SHARED.payment("authorize") as record:
        record.finish(card, text)
    for openmetrics in (False, True):
        scraped = SHARED.render(openmetrics=openmetrics).decode()
        assert card not in scraped
        assert text not in scraped


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Configure logging to a stream, and restore structlog and logging afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    target = io.StringIO()
    logs.configure("refpay-api", target)
    yield target
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def fail(text: str) -> None:
    """Raise an error that quotes the number, as real code does."""
    raise ValueError(text)


def assert_silent(stream: io.StringIO, card: str) -> None:
    """Assert that no line logged since the last call contains the number, and clear the stream."""
    written = stream.getvalue()
    stream.seek(0)
    stream.truncate()
    for line in written.splitlines():
        values = [text for name, text in json.loads(line).items() if name not in ("ts", "correlation_id")]
        assert card not in digits_left(json.dumps(values))
    assert "[" in written


def test_no_log_line_shows_a_number(stream: io.StringIO) -> None:
    """In the event, a field, a field's name, bytes, nested values, a context variable, an exception."""

    @given(drawn=disguised_cards())
    def logged(drawn: tuple[str, str]) -> None:
        card, text = drawn
        log = structlog.get_logger()
        log.info(f"paid with {text}")
        assert_silent(stream, card)
        log.info("paid", note=text, raw=text.encode())
        assert_silent(stream, card)
        log.info("paid", nested={"deep": [text, {text: text}]})
        assert_silent(stream, card)
        structlog.contextvars.bind_contextvars(customer=text)
        log.info("paid")
        structlog.contextvars.clear_contextvars()
        assert_silent(stream, card)
        logging.getLogger("uvicorn.error").warning("refused %s, %r", text, [text])
        assert_silent(stream, card)
        try:
            fail(f"refused {text} at north")
        except ValueError:
            log.exception("capture_failed")
        assert_silent(stream, card)

    logged()


def test_no_log_line_shows_a_number_in_parts(stream: io.StringIO) -> None:
    """Fields of one event, of one nested value, items of one list."""

    @given(card=card_numbers(), data=st.data())
    def logged(card: str, data: st.DataObject) -> None:
        parts = data.draw(parts_of(card))
        log = structlog.get_logger()
        fields: dict[str, Any] = {f"part{'abcd'[index]}": part for index, part in enumerate(parts)}
        for event in (
            fields,
            {"nested": fields},
            {"items": parts},
            {"pairs": [{"p": part} for part in parts]},
        ):
            log.info("paid", **event)
            assert_silent(stream, card)

    logged()


@given(card=card_numbers(), write=st.sampled_from(list(GROUPED.values())))
def test_no_correlation_id_of_a_caller_is_a_number(card: str, write: Callable[[str], str]) -> None:
    """An id that looks like a card number is replaced, in any grouping."""
    for candidate in (card, f"req-{card}", grouped(card, "-", 4), write(card)):
        accepted = correlation.accept(candidate)
        assert card not in digits_left(accepted)
    assert (
        correlation.accept("0d5e9c5e-7c39-4c7e-8f9c-2b6f3a1c9d11") == "0d5e9c5e-7c39-4c7e-8f9c-2b6f3a1c9d11"
    )
