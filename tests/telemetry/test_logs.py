"""Each log line is one bounded, redacted JSON object with its service and request."""

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from moneypath.telemetry import correlation, logs

CARD = "4111111111111111"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Configure logging to a stream, and restore structlog afterwards."""
    target = io.StringIO()
    logs.configure("refpay-api", target)
    yield target
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    """Read the lines back."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_line_names_time_level_event_service_and_request(stream: io.StringIO) -> None:
    """The five fields come first, in this order, then the event's own."""
    with correlation.bound("0000-request"):
        structlog.get_logger().warning(
            "provider_timed_out", provider="north", seconds=2.0, attempts=3, last=None
        )
    structlog.get_logger().info("idle")
    first, second = lines(stream)
    assert list(first)[:5] == ["ts", "level", "event", "service", "correlation_id"]
    assert first["ts"].endswith("Z")
    assert {name: first[name] for name in list(first)[1:]} == {
        "level": "warning",
        "event": "provider_timed_out",
        "service": "refpay-api",
        "correlation_id": "0000-request",
        "provider": "north",
        "seconds": 2.0,
        "attempts": 3,
        "last": None,
    }
    assert second["correlation_id"] is None


def test_event_cannot_claim_another_service_or_request(stream: io.StringIO) -> None:
    """A caller cannot set the service and the request."""
    structlog.get_logger().info("x", service="other", correlation_id="forged-id")
    assert (lines(stream)[0]["service"], lines(stream)[0]["correlation_id"]) == ("refpay-api", None)


def test_level_below_the_configured_one_is_silent() -> None:
    """Debug lines stay out unless asked for."""
    quiet, chatty = io.StringIO(), io.StringIO()
    try:
        logs.configure("api", quiet)
        structlog.get_logger().debug("detail")
        logs.configure("api", chatty, level="debug")
        structlog.get_logger().debug("detail")
    finally:
        structlog.reset_defaults()
    assert quiet.getvalue() == ""
    assert lines(chatty)[0]["event"] == "detail"


@pytest.mark.parametrize(
    "fields",
    [
        {"note": f"paid with {CARD}"},
        {"number": int(CARD)},
        {"nested": {"deep": [{"deeper": (CARD, {CARD})}]}},
        {"raw": CARD.encode()},
        {"password": "hunter2"},
        {"password": 12345},
        {"headers": {"Authorization": "Basic hunter2", "x-api-key": ["hunter2"]}},
        {"text": "Authorization: Bearer hunter2"},
        {CARD: 1},
        {"error": ValueError(f"card {CARD} token=hunter2")},
    ],
)
def test_no_value_shows_a_card_or_a_credential(stream: io.StringIO, fields: dict[str, Any]) -> None:
    """Every name and value is redacted: numbers, bytes, nested values and objects too."""
    structlog.get_logger().info("x", **fields)
    for secret in (CARD, "hunter2", "12345"):
        assert secret not in stream.getvalue()
    assert "[card]" in stream.getvalue() or "[secret]" in stream.getvalue()


def test_event_and_context_are_redacted_too(stream: io.StringIO) -> None:
    """The message and context variables are redacted as well."""
    structlog.contextvars.bind_contextvars(customer=CARD)
    structlog.get_logger().info(f"declined {CARD}")
    assert CARD not in stream.getvalue()


def refuse(text: str) -> None:
    """Raise an error that quotes the card number, as real code does."""
    raise ValueError(text)


def test_exception_text_is_redacted_and_its_end_kept(stream: io.StringIO) -> None:
    """A traceback may quote data; its last line must remain."""
    try:
        refuse(f"refused {CARD}, password=hunter2, " + "x" * 20_000 + " at the end")
    except ValueError:
        structlog.get_logger().exception("capture_failed", provider="north")
    (line,) = lines(stream)
    assert CARD not in stream.getvalue()
    assert "hunter2" not in stream.getvalue()
    assert line["exception"].endswith("at the end")
    assert line["provider"] == "north"
    try:
        refuse(f"short {CARD}")
    except ValueError:
        structlog.get_logger().exception("capture_failed")
    assert "ValueError: short [card]" in lines(stream)[1]["exception"]


@pytest.mark.parametrize(
    "fields",
    [
        {"event": "x" * 1_000_000},
        {"event": "\U0001f4b6" * 100_000},
        {"event": "x", "value": "y" * 1_000_000},
        {"event": "x", **{f"field{number}": "\u00e9" * 2000 for number in range(100)}},
        {"event": "x", "many": list(range(1_000_000))},
        {"event": "x", "deep": [[[[[[[[["y" * 100_000]]]]]]]]]},
        {"event": "x", "big": 10**5000},
        {"event": "x", "exception": "\u00e9" * 100_000},
    ],
)
def test_line_length_is_bounded(stream: io.StringIO, fields: dict[str, Any]) -> None:
    """Any event becomes one line within the limit, still valid JSON with its head."""
    structlog.get_logger().info(**fields)
    (written,) = stream.getvalue().splitlines()
    assert len(written.encode()) <= logs.LINE_LIMIT
    line = json.loads(written)
    assert line["service"] == "refpay-api"
    assert line["event"].startswith(fields["event"][:10])


def test_card_at_the_cut_does_not_survive_in_part(stream: io.StringIO) -> None:
    """Text is redacted before it is cut, wherever the cut falls."""
    for shift in range(20):
        structlog.get_logger().info("x", note="y" * (logs.VALUE_LIMIT - shift) + CARD)
        structlog.get_logger().info("x", note="y" * (logs.RAW_LIMIT - shift) + CARD)
    assert "4111" not in stream.getvalue()


class Unprintable:
    """An object whose `repr` raises."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    "value", [Unprintable(), {Unprintable(): Unprintable()}, float("nan"), float("inf"), b"\xff", "\ud800"]
)
def test_odd_value_is_logged_all_the_same(stream: io.StringIO, value: object) -> None:
    """A value that cannot be shown loses its own text, not the line."""
    structlog.get_logger().info("x", value=value)
    assert lines(stream)[0]["event"] == "x"


@given(
    event=st.text(),
    value=st.recursive(st.none() | st.text() | st.integers() | st.floats() | st.binary(), st.lists),
)
def test_anything_becomes_one_line_of_json(event: str, value: object) -> None:
    """No text breaks the line or the JSON."""
    line = logs.render_line(None, "info", logs.redact_event(None, "info", {"event": event, "value": value}))
    assert "\n" not in line
    assert len(line) <= logs.LINE_LIMIT
    assert isinstance(json.loads(line), dict)


def test_closed_stream_does_not_break_the_caller(stream: io.StringIO) -> None:
    """A service whose log stream is closed keeps working."""
    stream.close()
    structlog.get_logger().error("x")


def test_each_event_is_written_at_once() -> None:
    """Each line is a single write, so that processes sharing a pipe do not mix their lines."""
    written: list[str] = []

    class Pipe(io.StringIO):
        def write(self, text: str) -> int:
            written.append(text)
            return len(text)

    try:
        logs.configure("api", Pipe())
        structlog.get_logger().info("a", b="c")
    finally:
        structlog.reset_defaults()
    assert len(written) == 1
    assert written[0].endswith("\n")
