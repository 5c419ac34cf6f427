"""Reads what the client was told: one JSON object a line, appended and flushed answer by answer."""

from dataclasses import dataclass
from pathlib import Path

from moneypath.oracle.errors import FieldInvalid, JournalInvalid
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
from moneypath.oracle.records import Acknowledgement, Operation, Outcome

LINE_BYTES_MAX = 16 * 1024
LINES_MAX = 5_000_000
_KEYS = frozenset(
    (
        "at",
        "operation",
        "idempotency_key",
        "merchant_reference",
        "payment_id",
        "amount_minor",
        "currency",
        "status_code",
        "outcome",
        "replayed",
    )
)


@dataclass(frozen=True, slots=True)
class Journal:
    """The answers in the order they came.

    `torn_line` is the number of a last line that its writer did not finish, or None: the client was
    killed while it wrote, and that one answer is not known.
    """

    acknowledgements: tuple[Acknowledgement, ...]
    torn_line: int | None


def read_journal(file: Path) -> Journal:
    """Read a journal; raises JournalInvalid naming file and line.

    Only a last line that breaks off in the middle may be unreadable: that is what a kill leaves behind.
    Anything else was not written by the client and is no evidence.
    """
    acknowledgements: list[Acknowledgement] = []
    number = 0
    try:
        with file.open("rb") as stream:
            for number, line in enumerate(iter(lambda: stream.readline(LINE_BYTES_MAX + 1), b""), start=1):
                if _is_torn(line):
                    return Journal(tuple(acknowledgements), torn_line=number)
                acknowledgements.append(_parse(line, number))
    except OSError as error:
        raise JournalInvalid(
            f"{file}: cannot be read: {error.strerror}", hint="Name the journal that the load test wrote."
        ) from error
    except FieldInvalid as error:
        raise JournalInvalid(
            f"{file}:{number}: {error}",
            hint="Only the last line may be torn; a journal changed by hand is no evidence.",
        ) from None
    return Journal(tuple(acknowledgements), torn_line=None)


def _is_torn(line: bytes) -> bool:
    """Only the last line of a file has no line break; torn if it begins like ours and does not end."""
    if line.endswith(b"\n") or not line.startswith(b"{") or len(line) > LINE_BYTES_MAX:
        return False
    try:
        parse_object(line)
    except FieldInvalid:
        return True
    return False


def _parse(line: bytes, number: int) -> Acknowledgement:
    if len(line) > LINE_BYTES_MAX:
        raise FieldInvalid(f"longer than {LINE_BYTES_MAX} bytes")
    if number > LINES_MAX:
        raise FieldInvalid(f"more than {LINES_MAX} lines")
    row = parse_object(line)
    require_keys(row, _KEYS)
    return Acknowledgement(
        at=read_instant(row, "at"),
        operation=read_member(row, "operation", Operation),
        idempotency_key=read_text(row, "idempotency_key"),
        merchant_reference=read_text(row, "merchant_reference"),
        payment_id=read_text_or_none(row, "payment_id"),
        amount_minor=read_integer(row, "amount_minor"),
        currency=read_currency(row, "currency"),
        status_code=read_integer(row, "status_code", 0, 599),
        outcome=read_member(row, "outcome", Outcome),
        replayed=read_flag(row, "replayed"),
    )
