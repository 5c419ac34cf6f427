"""Amounts are exact, positive, of the currency's decimals, and fit 63 bits."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acquirers.errors import InstructionInvalid
from acquirers.money import EXPONENTS, LARGEST_MINOR, read_currency, read_major, read_minor


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("12.34", "EUR", 1234),
        ("12.3", "EUR", 1230),
        ("12", "EUR", 1200),
        ("0.01", "USD", 1),
        ("12", "JPY", 12),
        ("1.234", "KWD", 1234),
        ("0.001", "KWD", 1),
        ("92233720368547758.07", "EUR", LARGEST_MINOR),
        ("9223372036854775807", "JPY", LARGEST_MINOR),
    ],
)
def test_major_units_become_minor_units(text: str, currency: str, minor: int) -> None:
    """Each currency reads its own number of decimals, up to the largest amount."""
    assert read_major(text, currency) == minor


@pytest.mark.parametrize(
    ("text", "currency"),
    [
        ("12.345", "EUR"), ("12.340", "EUR"), ("12.0", "JPY"), ("1.2345", "KWD"),
        ("0", "EUR"), ("0.00", "EUR"), ("-1", "EUR"), ("-0.01", "EUR"), ("+1", "EUR"), ("", "EUR"),
        (" 1", "EUR"),
        ("1 ", "EUR"), ("1\n", "EUR"), ("1.", "EUR"), (".5", "EUR"), ("1,50", "EUR"), ("1e3", "JPY"),
        ("01", "EUR"),
        ("NaN", "EUR"), ("Infinity", "EUR"), ("0x10", "JPY"), ("1_000", "JPY"), ("٣", "JPY"),
        ("92233720368547758.08", "EUR"), ("9223372036854775808", "JPY"), ("9" * 5000, "JPY"),
    ],
)  # fmt: skip
def test_other_major_units_are_refused(text: str, currency: str) -> None:
    """Too many decimals, signs, zero, exponents, foreign digits and over 63 bits are refused by name."""
    with pytest.raises(InstructionInvalid, match=r"^amount: "):
        read_major(text, currency)


@given(st.integers(1, LARGEST_MINOR), st.sampled_from(sorted(EXPONENTS)))
def test_every_amount_survives_the_way_there_and_back(minor: int, currency: str) -> None:
    """Whatever a currency can express is read back exactly."""
    text = format(Decimal(minor) * Decimal(1).scaleb(-EXPONENTS[currency]), "f") if minor < 10**27 else ""
    whole, _, decimals = text.partition(".")
    assert read_major(f"{whole}.{decimals}" if decimals else whole, currency) == minor


@pytest.mark.parametrize("value", [0, -1, True, 1.0, "1", None, LARGEST_MINOR + 1])
def test_minor_units_are_positive_integers_of_63_bits(value: object) -> None:
    """Zero, negatives, booleans, floats, texts and too large integers are refused; the edges are not."""
    with pytest.raises(InstructionInvalid, match=r"^amount: "):
        read_minor(value)
    assert (read_minor(1), read_minor(LARGEST_MINOR)) == (1, LARGEST_MINOR)


@pytest.mark.parametrize("value", ["eur", "XXX", "", None, 978])
def test_unknown_currencies_are_refused_with_the_allowed_ones(value: object) -> None:
    """The refusal lists what this acquirer settles."""
    with pytest.raises(InstructionInvalid, match="EUR, USD, JPY, KWD"):
        read_currency(value)
    assert read_currency("KWD") == "KWD"
