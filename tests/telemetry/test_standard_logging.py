"""Records of the standard library's logging come out as the same bounded, redacted lines."""

import io
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from moneypath.telemetry import correlation, logs
from moneypath.telemetry.correlation import Context, Trace
from moneypath.telemetry.logs.standard import LineHandler

CARD = "4111111111111111"
CONTEXT = Context("0000-request", Trace("a" * 32, "b" * 16, sampled=False), "p-1")


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Restore both kinds of logging."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.fixture
def stream() -> io.StringIO:
    """Configure logging to a stream."""
    target = io.StringIO()
    logs.configure("refpay-api", target)
    return target


def remove_others() -> None:
    """Remove pytest's handlers, which raise at values that cannot be shown."""
    root = logging.getLogger()
    root.handlers[:] = [handler for handler in root.handlers if isinstance(handler, LineHandler)]


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    """Read the lines back."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_record_becomes_the_line_that_structlog_writes(stream: io.StringIO) -> None:
    """It has the same head in the same order, the same ids, and the logger's name."""
    structlog.contextvars.bind_contextvars(shard=7)
    with correlation.entered(CONTEXT):
        logging.getLogger("team.code").warning("tried %d times", 3, extra={"provider": "north"})
        structlog.get_logger().warning("tried")
    ours, theirs = lines(stream)
    head = ["ts", "level", "event", "service", "correlation_id", "payment_id", "trace_id", "span_id"]
    assert list(ours)[:8] == list(theirs)[:8] == head
    assert ours["ts"].endswith("Z")
    assert {name: ours[name] for name in list(ours)[1:]} == {
        "level": "warning",
        "event": "tried 3 times",
        "service": "refpay-api",
        "correlation_id": "0000-request",
        "payment_id": "p-1",
        "trace_id": "a" * 32,
        "span_id": "b" * 16,
        "logger": "team.code",
        "provider": "north",
        "shard": 7,
    }


def test_what_is_not_known_is_not_claimed(stream: io.StringIO) -> None:
    """Without payment and trace their fields are missing; an event cannot override ours."""
    with correlation.bound("0000-request"):
        logging.getLogger("team").info("x", extra={"service": "other", "correlation_id": "forged-id"})
    with correlation.entered(CONTEXT):
        structlog.get_logger().info("x", trace_id="forged", span_id="forged", payment_id="forged")
    first, second = lines(stream)
    assert (first["service"], first["correlation_id"]) == ("refpay-api", "0000-request")
    assert not {"payment_id", "trace_id", "span_id"} & set(first)
    assert (second["trace_id"], second["span_id"], second["payment_id"]) == ("a" * 32, "b" * 16, "p-1")


@pytest.mark.parametrize(
    "log",
    [
        lambda logger: logger.info("paid with %s", CARD),
        lambda logger: logger.info(f"paid with {CARD}"),
        lambda logger: logger.info("x", extra={"note": CARD}),
        lambda logger: logger.info("x", extra={"password": "hunter2"}),
        lambda logger: logger.info({"number": CARD}),
        lambda logger: logger.info("Authorization: Bearer hunter2"),
        lambda logger: logger.info("%d of", CARD),
        lambda logger: logger.info("x", stack_info=True, extra={"raw": CARD.encode()}),
    ],
)
def test_no_record_shows_a_card_or_a_credential(stream: io.StringIO, log: Any) -> None:
    """Arguments, extras, messages that are not strings, and ones that do not match their arguments."""
    remove_others()
    log(logging.getLogger("library"))
    assert CARD not in stream.getvalue()
    assert "hunter2" not in stream.getvalue()
    assert len(lines(stream)) == 1


def refuse(text: str) -> None:
    """Raise an error that quotes the card number, as real code does."""
    raise ValueError(text)


def test_an_exception_is_redacted_and_bounded(stream: io.StringIO) -> None:
    """Its end is kept, however long it is."""
    remove_others()
    try:
        refuse(f"refused {CARD} " + "x" * 100_000 + " at the end")
    except ValueError:
        logging.getLogger("library").exception("failed")
    (line,) = lines(stream)
    assert CARD not in stream.getvalue()
    assert line["exception"].endswith("at the end")
    assert len(stream.getvalue()) <= logs.LINE_LIMIT + 1
    logging.getLogger("library").warning("no exception here", exc_info=True)
    assert "exception" not in lines(stream)[1]


class Talkative:
    """An object that logs in its `repr`."""

    def __init__(self) -> None:
        self.said = 0

    def __repr__(self) -> str:
        self.said += 1
        logging.getLogger("talkative").warning("I am shown: %r", self)
        return "shown"


class Unprintable:
    """An object whose `repr` raises."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


def test_what_logs_while_it_is_logged_does_not_go_on_for_ever(
    stream: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    """A value that cannot be shown neither raises nor prints an unredacted traceback."""
    remove_others()
    talkative = Talkative()
    logging.getLogger("library").warning("here is %r", talkative)
    logging.getLogger("library").warning("and %r", Unprintable())
    logging.getLogger("library").warning("and %d", CARD)
    assert [line["event"] for line in lines(stream)] == ["here is shown", "and %r", "and %d"]
    assert talkative.said == 1
    assert capsys.readouterr() == ("", "")
    stream.close()
    logging.getLogger("library").warning("into the void")


def test_console_handlers_are_taken_over_and_others_stay(tmp_path: Path) -> None:
    """uvicorn has its own handler; a line must not come out twice, once unredacted."""
    file = logging.FileHandler(tmp_path / "log", delay=True)
    own = logging.StreamHandler(sys.stderr)
    logger = logging.getLogger("test.uvicorn.like")
    logger.propagate = False
    logger.handlers = [own, file]
    try:
        first, second = io.StringIO(), io.StringIO()
        logs.configure("api", first)
        logs.configure("api", second)
        assert (logger.handlers, logger.propagate) == ([file], True)
        logger.info("once")
    finally:
        logger.handlers = []
        file.close()
    assert first.getvalue() == ""
    assert [line["event"] for line in lines(second)] == ["once"]


def test_the_level_holds_for_both(stream: io.StringIO) -> None:
    """Debug lines are written only if asked for."""
    logging.getLogger("library").debug("detail")
    logging.getLogger("library").info("heard")
    assert [line["event"] for line in lines(stream)] == ["heard"]


def test_the_standard_library_can_be_left_alone() -> None:
    """A team's own configuration of logging stays."""
    before = (logging.getLogger().handlers[:], logging.getLogger().level)
    logs.configure("api", io.StringIO(), standard_library=False)
    assert (logging.getLogger().handlers, logging.getLogger().level) == before
