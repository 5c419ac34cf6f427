"""Amounts, times and accounts are read exactly, or not at all."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moneypath.witnesses.accounts import Accounts
from moneypath.witnesses.amounts import amount_reader
from moneypath.witnesses.vocabulary import AccountRole, Unit
from moneypath.witnesses.window import Window, read_time

DIGITS = {"JPY": 0, "EUR": 2, "ETH": 18}
MINOR, MAJOR = (amount_reader(unit, DIGITS) for unit in Unit)


@given(st.integers(-(10**60), 10**60), st.sampled_from(tuple(DIGITS)), st.integers(0, 5))
def test_every_amount_is_read_to_the_last_digit(minor: int, currency: str, zeros: int) -> None:
    """In the smallest unit and in the currency's own, with zeros at the end or without."""
    assert MINOR(str(minor), currency) == (minor, "")
    major = format(Decimal(minor).scaleb(-DIGITS[currency]), "f") if abs(minor) < 10**25 else None
    if major is not None:
        text = major + "0" * zeros if "." in major else major + "." * bool(zeros) + "0" * zeros
        assert MAJOR(text, currency) == (minor, "")


@given(st.integers(0, 10**9), st.integers(1, 9))
def test_a_fraction_of_the_smallest_unit_is_none(whole: int, part: int) -> None:
    """Its text is kept, and 0 counts."""
    assert MINOR(f"{whole}.{part}", "EUR") == (0, f"{whole}.{part}")
    assert MAJOR(f"{whole}.00{part}", "EUR") == (0, f"{whole}.00{part}")
    assert MAJOR(f"{whole}.{part}", "JPY") == (0, f"{whole}.{part}")


@pytest.mark.parametrize(
    "text",
    ["", " 1", "1 ", "+1", "1e3", "0x1", "NaN", "Infinity", "1,000", "1.", ".5", "--1", "١", "9" * 201],
)
def test_what_is_no_amount_is_kept_as_it_is_written(text: str) -> None:
    """At most forty characters of it."""
    assert MINOR(text, "EUR") == (0, text[:40] or "nothing")


def test_no_amount_is_said_to_be_none() -> None:
    """And one of a currency without digits has no smallest unit."""
    assert MINOR(None, "EUR") == (0, "null")
    assert MAJOR("1", "DOGE") == (0, "1")


@given(st.datetimes(datetime(1970, 1, 2), datetime(2999, 1, 1)), st.integers(-23, 23))
def test_a_time_has_an_offset(local: datetime, hours: int) -> None:
    """Then it is an instant; without one it is none."""
    at = local.replace(tzinfo=UTC)
    there = (at + timedelta(hours=hours)).replace(tzinfo=None).isoformat()
    sign = "+" if hours >= 0 else "-"
    assert read_time(f"{there}{sign}{abs(hours):02}:00") == at.timestamp()
    assert read_time(there) is None


@pytest.mark.parametrize("value", ["", "today", "nan", "inf", float("inf"), float("nan"), 1e30, None])
def test_what_is_no_time_is_none(value: str | float | None) -> None:
    """A number is Unix seconds, as long as there is such a date."""
    assert read_time(value) is None
    assert read_time("12.5") == read_time(12.5) == 12.5


@pytest.mark.parametrize(
    ("at", "reads", "judges"),
    [(89.9, False, False), (90, True, False), (99.9, True, False), (100, True, True), (199.9, True, True),
     (200, True, False), (209.9, True, False), (210, False, False)],
)  # fmt: skip
def test_the_edges_of_a_window(at: float, reads: bool, judges: bool) -> None:
    """The first instant belongs to it, the last one to the next."""
    window = Window(100, 200, 10)
    assert (window.reads(at), window.judges(at)) == (reads, judges)
    assert Window(100, 200, 10, is_bounded=False).reads(at) is (at >= 90)


def test_an_account_that_two_patterns_read_has_no_role() -> None:
    """Whose it is would depend on the order in the file."""
    patterns = {
        AccountRole.RECEIVABLE: r"^12-(?P<provider>\w+)",
        AccountRole.PAYABLE: r"(?P<beneficiary>\w+)$",
    }
    accounts = Accounts(patterns)
    assert accounts.read("shop") == (AccountRole.PAYABLE, "merchant_payable:shop", "shop")
    assert accounts.read("12-north") == (None, "12-north (receivable and payable)", "")
    assert accounts.read("?") == (None, "?", "")


def test_a_pattern_takes_no_longer_than_the_text() -> None:
    """One that would backtrack for years elsewhere."""
    accounts = Accounts({AccountRole.OTHER: "^(a+)+$"})
    assert accounts.read("a" * 100_000 + "b").role is None
