"""Every field of a line of a log and of a row of a book is read as it is written, up to its limits."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moneypath.oracle import (
    Acknowledgement,
    AcknowledgementLogInvalid,
    Charge,
    ChargeStatus,
    Operation,
    Outcome,
    ProviderBookUnreadable,
    ReportsUnreadable,
    Request,
    acknowledgement_log,
    read_acknowledgement_log,
    read_provider_book,
    read_reports_taken,
)
from moneypath.oracle.acknowledgement_log import read_line, write_line
from moneypath.oracle.errors import FieldInvalid
from moneypath.oracle.fields import (
    parse_object,
    read_amount,
    read_currency,
    read_integer,
    read_text,
    require_keys,
)

from .test_oracle_acknowledgement_log import LINE, ROW
from .test_oracle_provider_book import TOKEN, answering, row, serving

REQUEST = Request(1.5, Operation.REFUND, "k1", "r1", "shop", 1000, "EUR")
ANSWER = Acknowledgement(
    2.5, Operation.REFUND, "k1", "r1", "p1", 1000, "EUR", 201, Outcome.SUCCEEDED, True, "shop"
)


@pytest.mark.parametrize("written", [REQUEST, ANSWER])
def test_a_line_is_read_as_it_was_written(written: Request | Acknowledgement) -> None:
    """Field by field, without blanks, one line each."""
    line = write_line(written)
    assert read_line(line.encode()) == written
    assert " " not in line
    assert line.count("\n") == 1
    assert line.endswith("}\n")


def test_requests_before_a_torn_line_are_kept(tmp_path: Path) -> None:
    """What was sent before the kill counts."""
    file = tmp_path / "log"
    file.write_text(write_line(REQUEST) + write_line(ANSWER) + '{"at":')
    log = read_acknowledgement_log(file)
    assert (log.requests, log.acknowledgements, log.torn_line) == ((REQUEST,), (ANSWER,), 3)


def padded(length: int) -> bytes:
    """Return a line with its end of exactly so many bytes: blanks between two keys say nothing."""
    line = write_line(ANSWER).encode()
    return line.replace(b",", b"," + b" " * (length - len(line)), 1)


def test_a_line_has_at_most_16_kib(tmp_path: Path) -> None:
    """As many bytes are read, one more is refused, and never read whole."""
    longest = acknowledgement_log.LINE_BYTES_MAX
    file = tmp_path / "log"
    file.write_bytes(padded(longest))
    assert read_acknowledgement_log(file).acknowledgements == (ANSWER,)
    file.write_bytes(padded(longest + 1))
    with pytest.raises(AcknowledgementLogInvalid, match=f"log:1: longer than {longest} bytes"):
        read_acknowledgement_log(file)
    # A torn line may be as long; a longer one was not ours.
    file.write_bytes(b'{"' + b"x" * (longest - 2))
    assert read_acknowledgement_log(file).torn_line == 1
    file.write_bytes(b'{"' + b"x" * (longest - 1))
    with pytest.raises(AcknowledgementLogInvalid, match="log:1: longer"):
        read_acknowledgement_log(file)


def test_a_log_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last line that is allowed is read, the next one refused."""
    file = tmp_path / "log"
    file.write_text(write_line(ANSWER) * 3)
    monkeypatch.setattr(acknowledgement_log, "LINES_MAX", 3)
    assert len(read_acknowledgement_log(file).acknowledgements) == 3
    monkeypatch.setattr(acknowledgement_log, "LINES_MAX", 2)
    with pytest.raises(AcknowledgementLogInvalid, match="log:3: more than 2 lines"):
        read_acknowledgement_log(file)


def test_a_log_that_cannot_be_read_says_what_to_do(tmp_path: Path) -> None:
    """Another hint for a wrong path than for a wrong line."""
    with pytest.raises(AcknowledgementLogInvalid) as missing:
        read_acknowledgement_log(tmp_path / "log")
    assert missing.value.hint == "Name the acknowledgement log that the load test wrote."
    (tmp_path / "log").write_text(f"{LINE}\n[]\n")
    with pytest.raises(AcknowledgementLogInvalid) as wrong:
        read_acknowledgement_log(tmp_path / "log")
    assert wrong.value.hint == (
        "Use the file as the load test wrote it: only its last line may be unfinished."
    )


def test_an_older_log_says_what_to_do() -> None:
    """In one sentence."""
    old = {key: ROW[key] for key in ROW if key != "merchant"}
    with pytest.raises(FieldInvalid) as caught:
        read_line(json.dumps(old).encode())
    assert str(caught.value) == (
        "merchant is missing: an older client wrote this, which did not record as whom it acted nor what "
        "it sent; run the load again"
    )


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"a": 1}, "missing: b, c; allowed: a, b, c"),
        ({"a": 1, "b": 2, "c": 3, "y": 4, "x": 5}, "unknown: x, y; allowed: a, b, c"),
        ({"a": 1, "x": 5}, "missing: b, c; unknown: x; allowed: a, b, c"),
    ],
)
def test_wrong_keys_are_all_named(row: dict[str, object], told: str) -> None:
    """What is missing, what is unknown, and what is allowed."""
    with pytest.raises(FieldInvalid) as caught:
        require_keys(row, ("a", "b", "c"))
    assert str(caught.value) == told


@pytest.mark.parametrize(
    ("read", "allowed"),
    [
        (read_text, "x" * 256),
        (lambda row, key: read_integer(row, key, 1, 9), 9),
        (lambda row, key: read_integer(row, key, 1, 9), 1),
        (lambda row, key: read_amount(row, key)[0], 0),
        (read_integer, 2**63 - 1),
    ],
)
def test_a_limit_includes_itself(read: Callable[[dict[str, object], str], Any], allowed: object) -> None:
    """The largest and the smallest value that is allowed is read."""
    assert read({"field": allowed}, "field") == allowed


@pytest.mark.parametrize("code", ["EURO", "EU", "EU1", "Eur", "ÄÖÜ", "", 978, None])
def test_a_currency_is_three_capital_letters(code: object) -> None:
    """Nothing else is one."""
    with pytest.raises(FieldInvalid, match=r"currency: must be a currency code of three capital letters"):
        read_currency({"currency": code}, "currency")


async def test_every_field_of_a_charge_is_read() -> None:
    """Those that may be missing are empty then."""
    full = row(
        2**63 - 1, provider_reference="x" * 256, parent="auth-1", beneficiary="shop", reference="order-7",
        currency="JPY", card_range="555555", at=8.5, kind="payout", status="paid",
    )  # fmt: skip
    bare = {name: value for name, value in row(1).items() if name not in ("card_range", "provider_reference")}
    page = {"provider": "north", "rows": [bare, full], "next": None}
    async with serving(answering(page)) as url:
        assert await read_provider_book(url, TOKEN) == (
            Charge("north", 1, "k1", Operation.CAPTURE, "r1", 100, "EUR", "", ChargeStatus.CAPTURED, "", 1.0),
            Charge(
                "north", 2**63 - 1, f"k{2**63 - 1}", Operation.PAYOUT, "order-7", 100, "JPY", "555555",
                ChargeStatus.PAID, "x" * 256, 8.5, "auth-1", "shop",
            ),
        )  # fmt: skip


@pytest.mark.parametrize(
    ("page", "told"),
    [
        ({"rows": {}}, "rows: must be a list"),
        ({"rows": [1]}, "rows: must hold objects"),
        ({"rows": [], "next": 2**63}, f"next: must be an integer from 1 to {2**63 - 1}"),
        ({"rows": [row(2**63)]}, f"seq: must be an integer from 1 to {2**63 - 1}"),
        (
            {"rows": [row(1, parent="x" * 257)]},
            "parent: must be null or a text of up to 256 characters",
        ),
    ],
)
async def test_a_wrong_page_is_told_in_one_sentence(page: dict[str, object], told: str) -> None:
    """The field and what it has to be."""
    async with serving(answering({"provider": "north", "next": None, **page})) as url:
        with pytest.raises(ProviderBookUnreadable) as caught:
            await read_provider_book(url, TOKEN)
    assert caught.value.what == f"{url}truth/operations: {told}"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"served": {}}, "served: must be a list of objects"),
        ({"served": [1]}, "served: must be a list of objects"),
        ({"forgotten": 3}, "the provider has forgotten 3 reports that it served"),
    ],
)
async def test_a_wrong_list_of_reports_is_told_in_one_sentence(content: dict[str, object], told: str) -> None:
    """What is wrong with it."""
    page = {"provider": "north", "served": [], "forgotten": 0, **content}
    async with serving(answering(page), "/truth/reports") as url:
        with pytest.raises(ReportsUnreadable) as caught:
            await read_reports_taken(url, TOKEN)
    assert caught.value.what == f"{url}truth/reports: no list of served reports: FieldInvalid: {told}"


@pytest.mark.parametrize(("text", "told"), [("{", "not JSON"), ("[]", "must be a JSON object, not list")])
def test_what_is_no_object_is_told_without_showing_it(text: str, told: str) -> None:
    """It may hold anything."""
    with pytest.raises(FieldInvalid) as caught:
        parse_object(text)
    assert str(caught.value) == told


async def test_a_cursor_that_stands_still_is_refused() -> None:
    """A page without rows whose cursor is the one that was asked for would be asked for again, for ever."""
    pages = [
        {"provider": "north", "rows": [row(1)], "next": 1},
        {"provider": "north", "rows": [], "next": 1},
        {"provider": "north", "rows": [], "next": None},
    ]
    async with serving(answering(*pages)) as url:
        with pytest.raises(ProviderBookUnreadable, match="next: 1 follows 1, it must grow"):
            await read_provider_book(url, TOKEN)


async def test_a_book_of_too_many_pages_says_what_to_do() -> None:
    """A shorter run fits."""
    pages = [{"provider": "north", "rows": [row(seq)], "next": seq} for seq in (1, 2)]
    async with serving(answering(*pages)) as url:
        with pytest.raises(ProviderBookUnreadable) as caught:
            await read_provider_book(url, TOKEN, pages_max=2, page_rows=1)
    assert str(caught.value) == f"{url}truth/operations: more than 2 pages of 1 rows\n  Audit a shorter run."
