"""Ids that look like card numbers: what a declared form excuses, and what it never does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moneypath.telemetry.redaction import IdForms, holds_card

from .card_numbers import check_digit


@pytest.mark.parametrize(
    "card", ["4111111111111111", "378282246310005", "5555555555554444", "30569309025904"]
)
def test_a_card_number_of_a_usual_length_is_never_excused(card: str) -> None:
    """Whatever the prefix is called."""
    forms = IdForms(f"ord_{len(card)}")
    assert not forms.cover(f"ord_{card}")
    assert forms.cover(f"ord_{card[:-1]}{(int(card[-1]) + 1) % 10}")


def test_what_long_ids_hold_by_chance_is_excused() -> None:
    """A card number at the end of a longer run, which is refused without the form."""
    text = "ord_41111111111111111227"
    assert holds_card(text)
    assert IdForms("ord_20").cover(text)
    assert not IdForms("ord_19, inv-20").cover(text)
    assert not IdForms().cover(text)


@pytest.mark.parametrize(
    "text",
    [
        "ORD_41111111111111111227",
        "ord_41111111111111111227 ",
        "xord_41111111111111111227",
        "ord_4111111111111111122a",
    ],
)
def test_only_the_whole_text_is_an_id(text: str) -> None:
    """With nothing before or after it."""
    assert not IdForms("ord_20").cover(text)


@pytest.mark.parametrize(
    "wrong",
    [
        "ord_",
        "20",
        "ord_11",
        "ord_33",
        "4ord_20",
        "ord 20",
        "ord_.*20",
        ",",
        "ord_20,,inv_20",
        "o" * 21 + "20",
        "ord1_20",
        ",".join(["a_20"] * 9),
    ],
)
def test_what_is_no_form_is_refused_with_what_is_allowed(wrong: str) -> None:
    """No pattern of another kind is read as one."""
    with pytest.raises(ValueError, match="up to 8 forms with commas between them"):
        IdForms(wrong)


@given(digits=st.text("0123456789", min_size=12, max_size=32))
def test_no_form_excuses_a_card_in_one_piece(digits: str) -> None:
    """Of 15 or 16 digits from an issuer with the right check digit."""
    forms = IdForms(f"ord_{len(digits)}")
    for prefix in ("4111", "5555", "2223", "3530", "6011"):
        card = prefix + digits[:11]
        assert not IdForms("ord_16").cover(f"ord_{card}{check_digit(card)}")
    if not holds_card(digits):
        assert forms.cover(f"ord_{digits}")
