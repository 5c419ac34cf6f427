"""Read the client's acknowledgement log: one JSON object a line, appended and flushed for each request before
it is sent, and for each answer.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from moneypath.oracle.errors import AcknowledgementLogInvalid, FieldInvalid
from moneypath.oracle.fields import (
    parse_object,
    read_currency,
    read_flag,
    read_instant,
    read_integer,
    read_member,
    read_text,
    read_text_or_none,
    require_keys,
)
from moneypath.oracle.records import Acknowledgement, Operation, Outcome, Request

LINE_BYTES_MAX = 16 * 1024
LINES_MAX = 5_000_000
_REQUEST_KEYS = frozenset(
    (
        "at",
        "operation",
        "idempotency_key",
        "merchant_reference",
        "merchant",
        "amount_minor",
        "currency",
    )
)
_ANSWER_KEYS = _REQUEST_KEYS | {"payment_id", "status_code", "outcome", "replayed"}


@dataclass(frozen=True, slots=True)
class AcknowledgementLog:
    """The answers in the order in which they came, and the requests in the order in which they were sent.

    `torn_line` is the number of an unfinished last line, or None. The client was killed while it wrote that
    line, so that one answer is unknown.
    """

    acknowledgements: tuple[Acknowledgement, ...]
    torn_line: int | None
    requests: tuple[Request, ...] = ()

    def count_checkouts(self) -> int:
        """Return how many authorizations were asked for, each once however often it was sent."""
        return len({one.idempotency_key for one in self.requests if one.operation is Operation.AUTHORIZE})


def read_acknowledgement_log(file: Path) -> AcknowledgementLog:
    """Read an acknowledgement log; raises AcknowledgementLogInvalid with the file and the line.

    Only the last line may be cut off, as a kill leaves it. Anything else was not written by the client and is
    not evidence.
    """
    answers: list[Acknowledgement] = []
    requests: list[Request] = []
    number = 0
    try:
        with file.open("rb") as stream:
            for number, line in enumerate(iter(lambda: stream.readline(LINE_BYTES_MAX + 1), b""), start=1):
                if _is_torn(line):
                    return AcknowledgementLog(tuple(answers), number, tuple(requests))
                row = read_line(line, number)
                if isinstance(row, Request):
                    requests.append(row)
                else:
                    answers.append(row)
    except OSError as error:
        raise AcknowledgementLogInvalid(
            f"{file}: cannot be read: {error.strerror}",
            hint="Name the acknowledgement log that the load test wrote.",
        ) from error
    except FieldInvalid as error:
        raise AcknowledgementLogInvalid(
            f"{file}:{number}: {error}",
            hint="Use the file as the load test wrote it: only its last line may be unfinished.",
        ) from None
    return AcknowledgementLog(tuple(answers), None, tuple(requests))


def write_line(row: Request | Acknowledgement) -> str:
    """Return a request or an answer as a line of an acknowledgement log."""
    return json.dumps(row._asdict(), separators=(",", ":")) + "\n"


def _is_torn(line: bytes) -> bool:
    """Tell whether this is an unfinished last line: it begins as ours do and has no end."""
    if line.endswith(b"\n") or not line.startswith(b"{") or len(line) > LINE_BYTES_MAX:
        return False
    try:
        parse_object(line)
    except FieldInvalid:
        return True
    return False


def read_line(line: bytes, number: int = 1) -> Request | Acknowledgement:
    """Return the request or the answer of one line; raises FieldInvalid."""
    if len(line) > LINE_BYTES_MAX:
        raise FieldInvalid(f"longer than {LINE_BYTES_MAX} bytes")
    if number > LINES_MAX:
        raise FieldInvalid(f"more than {LINES_MAX} lines")
    row = parse_object(line)
    if "outcome" in row and "merchant" not in row:
        raise FieldInvalid(
            "merchant is missing: an older client wrote this, which did not record as whom it acted nor what "
            "it sent; run the load again"
        )
    require_keys(row, _ANSWER_KEYS if "outcome" in row else _REQUEST_KEYS)
    operation = read_member(row, "operation", Operation)
    amount_minor = read_integer(row, "amount_minor")
    if "outcome" not in row:
        return Request(
            at=read_instant(row, "at"),
            operation=operation,
            idempotency_key=read_text(row, "idempotency_key"),
            merchant_reference=read_text(row, "merchant_reference"),
            merchant=read_text(row, "merchant"),
            amount_minor=amount_minor,
            currency=read_currency(row, "currency"),
        )
    return Acknowledgement(
        at=read_instant(row, "at"),
        operation=operation,
        idempotency_key=read_text(row, "idempotency_key"),
        merchant_reference=read_text(row, "merchant_reference"),
        payment_id=read_text_or_none(row, "payment_id"),
        amount_minor=amount_minor,
        currency=read_currency(row, "currency"),
        status_code=read_integer(row, "status_code", 0, 599),
        outcome=read_member(row, "outcome", Outcome),
        replayed=read_flag(row, "replayed"),
        merchant=read_text(row, "merchant"),
    )
