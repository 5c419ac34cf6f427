"""No card number passes redaction in any disguise."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moneypath.telemetry.redaction import CARD_MASK, SECRET_MASK, is_card_number, redact, redact_bytes
from moneypath.telemetry.redaction.issuers import usual_lengths

from .card_numbers import (
    CARD,
    CARDS,
    WRITINGS,
    Write,
    card_numbers,
    check_digit,
    digits_left,
    disguised_cards,
    grouped,
)


@pytest.mark.parametrize("card", CARDS)
def test_published_test_numbers_are_masked(card: str) -> None:
    """Plain, dashed and spaced, alone and within a sentence, nothing of the number is left."""
    for separator in ("", " ", "-", "\u2011", "\u00a0"):
        assert redact(f"card {grouped(card, separator, 4)}, declined") == f"card {CARD_MASK}, declined"
    assert redact(card) == CARD_MASK


@given(card=card_numbers(), separator=st.sampled_from(["", " ", "-"]), size=st.integers(1, 6))
def test_every_card_number_is_masked_however_it_is_grouped(card: str, separator: str, size: int) -> None:
    """Any grouping, with at most one separator between two digits."""
    assert is_card_number(card)
    assert redact(grouped(card, separator, size)) == CARD_MASK


@given(
    card=card_numbers(),
    before=st.text(st.characters(exclude_categories=["Nd"]), max_size=20),
    after=st.text(st.characters(exclude_categories=["Nd"]), max_size=20),
)
def test_card_number_is_masked_in_any_surroundings(card: str, before: str, after: str) -> None:
    """Letters, quotes, underscores or nothing may surround it."""
    assert card not in redact(before + card + after)


@pytest.mark.parametrize(
    "text",
    [
        "100 4111 1111 1111 1111 200",
        "exp 12 27 4111-1111-1111-1111 12 27",
        "4111111111111111 4012888888881881",
        "{'card': 4111111111111111}",
        "https://shop/pay?number=4111111111111111&x=1",
        "pan4111111111111111x",
        "tok_4111111111111111",
    ],
)
def test_card_number_among_other_numbers_is_found(text: str) -> None:
    """Neighbouring numbers do not hide it."""
    assert CARD_MASK in redact(text) or SECRET_MASK in redact(text)
    assert "1111" not in redact(text)


@given(card=card_numbers(), digit=st.integers(0, 18), change=st.integers(1, 9))
def test_number_with_a_wrong_digit_is_no_card_number(card: str, digit: int, change: int) -> None:
    """The check digit decides: an order number of the same shape survives."""
    place = digit % (len(card) - 4) + 4
    wrong = card[:place] + str((int(card[place]) + change) % 10) + card[place + 1 :]
    assert not is_card_number(wrong)
    assert redact(f"order {wrong} paid") == f"order {wrong} paid"


@pytest.mark.parametrize(
    "digits", ["", "4", "41111111111", "0" * 16, "1" * 16, "99999999999999999999", "4" * 20]
)
def test_other_numbers_are_no_card_numbers(digits: str) -> None:
    """Length and issuer decide before the check digit does."""
    assert not is_card_number(digits)


@pytest.mark.parametrize("write", WRITINGS.values(), ids=WRITINGS)
@given(card=card_numbers())
def test_no_writing_hides_a_card_number(write: Write, card: str) -> None:
    """Grouped, encoded, escaped, nested, in bytes, in other scripts: nothing is left that decodes to it."""
    masked = redact(f"note {write(card)} end")
    assert CARD_MASK in masked
    assert card not in digits_left(masked)
    assert masked.startswith("note ")
    assert masked.endswith(" end")


@pytest.mark.parametrize("write", WRITINGS.values(), ids=WRITINGS)
def test_no_writing_makes_a_card_of_other_digits(write: Write) -> None:
    """The same writings of a number that fails the check digit are left alone."""
    wrong = CARD[:-1] + "2"
    text = f"note {write(wrong)} end".replace("cvc=123", "size=3")
    assert redact(text) == text


@given(drawn=disguised_cards())
def test_no_disguise_passes_in_bytes(drawn: tuple[str, str]) -> None:
    """Bytes are masked like text; bytes that are not text stay unchanged."""
    card, text = drawn
    masked = redact_bytes(b"\xff\xfe " + text.encode() + b" \x80")
    assert CARD_MASK.encode() in masked
    assert card not in digits_left(masked.decode(errors="replace"))
    assert masked.startswith(b"\xff\xfe ")
    assert masked.endswith(b" \x80")


@given(
    card=card_numbers(),
    before=st.text("0123456789", max_size=25),
    after=st.text("0123456789", max_size=25),
)
def test_long_run_gives_no_card_number_at_its_ends(card: str, before: str, after: str) -> None:
    """An expiry date, a counter or padding does not hide a card number of common length."""
    if len(card) not in usual_lengths(card[:4]):
        return
    for run in (card + after, before + card):
        if len(run) > 19:
            assert card not in redact(run)


def test_long_run_keeps_what_stands_in_its_middle() -> None:
    """In the middle of a long run digits pass every check by chance too often."""
    assert redact(f"1000000{CARD}0000001") == f"1000000{CARD}0000001"


@pytest.mark.parametrize("day", [4, 24, 30])
def test_long_run_keeps_a_time(day: int) -> None:
    """Down to nanoseconds; on some days the last digits pass every check by chance."""
    for second in range(60):
        for fraction in ("123456", "987654321"):
            time = f"202609{day:02}0011{second:02}{fraction}"
            assert redact(f"at {time}") == f"at {time}"


def test_number_behind_a_masked_one_is_masked_too() -> None:
    """Once the number before it is masked, it is a run of its own and not a fraction."""
    assert redact(f"{CARD}.{CARD}") == f"{CARD_MASK}.{CARD_MASK}"
    assert redact(f"{CARD}{CARD}") == CARD_MASK + CARD_MASK


def test_issuers_and_check_digits_are_reckoned_alike() -> None:
    """Of ten numbers that differ in the last digit, only the one with the check digit is a card number."""
    for body in ("411111111111111", "37828224631000", "50180000000"):
        (valid,) = [digit for digit in "0123456789" if is_card_number(body + digit)]
        assert valid == check_digit(body)
