"""What the door of a service refuses is what is masked where a text leaves: one recogniser, every writing."""

import logging
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moneypath.telemetry.redaction import CARD_MASK, SECRET_MASK, holds_card, redact, redact_values
from moneypath.telemetry.redaction.encoded import Decoded

from .card_numbers import card_numbers
from .card_writings import INVISIBLE, SCRIPTS, encoded, readable_digits, writing, writings

QUICK, ALL = 1_000, 100_000


def check(count: int) -> None:
    """Fail for the first writing that is not seen, or of which a reader still sees the number."""
    draw = random.Random(1)  # noqa: S311 - drawn again alike
    for card, text in writings(count):
        for written in (text, encoded(text, draw)):
            assert holds_card(written), ascii(written)
            masked = redact(written)
            assert CARD_MASK in masked or SECRET_MASK in masked, ascii(written)
            assert card not in readable_digits(Decoded(masked).plain), ascii(masked)
            assert redact(masked) == masked


def test_writings_of_card_numbers_are_seen_by_both() -> None:
    """In any script, in groups, with signs and invisible characters, before and after words, encoded."""
    check(QUICK)


@pytest.mark.proof
@pytest.mark.attack
@pytest.mark.timeout(1200)
def test_a_hundred_thousand_writings_are_seen_by_both() -> None:
    """None comes in and none goes out."""
    check(ALL)


@given(seed=st.integers(0, 2**32), around=st.text(st.characters(codec="utf-8"), max_size=20))
def test_any_writing_is_seen(seed: int, around: str) -> None:
    """Drawn anew each time, with any text on the next line and on the line before."""
    card, text = writing(random.Random(seed))  # noqa: S311
    text = f"{around}\n{text}\n{around}"
    assert holds_card(text)
    assert card not in readable_digits(redact(text).replace(around, ""))


@given(
    st.text(
        st.sampled_from("0123456789 -._/:%4\\x\u200b\u0664\uff14\u2463abcdeftok=,") | st.characters(),
        max_size=60,
    )
)
def test_the_door_refuses_what_is_masked_as_a_card_and_nothing_else(text: str) -> None:
    """A text that leaves with the mask of a card would not have come in, and the reverse."""
    text = text.replace(CARD_MASK, "")
    masked = redact(text)
    if CARD_MASK in masked:
        assert holds_card(text)
    elif holds_card(text):
        assert SECRET_MASK in masked


@given(
    card=card_numbers(),
    script=st.sampled_from(SCRIPTS),
    hidden=st.sampled_from(INVISIBLE),
    where=st.integers(1, 11),
)
def test_the_mask_covers_the_number_and_not_its_neighbours(
    card: str, script: str, hidden: str, where: int
) -> None:
    """Places of the normalised text are mapped back, whatever was left out of it."""
    written = "".join(script[int(digit)] for digit in card)
    written = written[:where] + hidden + written[where:]
    assert (
        redact(f"\u00e9 {hidden}paid {written} now \u00e9") == f"\u00e9 {hidden}paid {CARD_MASK} now \u00e9"
    )


def test_signs_that_stand_for_two_digits_are_seen() -> None:
    """A number may be shorter than its digits are many."""
    text = "④⑪⑪⑪⑪⑪⑪⑪①"
    assert holds_card(text)
    assert redact(text) == CARD_MASK


def test_a_long_text_of_other_scripts_keeps_what_is_no_number() -> None:
    """Whatever stands between its digits."""
    text = "\u0664\u200b%E2%91%A3\\u2463 \u00e9" * 2_000
    assert redact(text * 16).count("\u00e9") == 32_000


def test_values_are_checked_as_texts(caplog: pytest.LogCaptureFixture) -> None:
    """In names and values at any depth."""
    caplog.set_level(logging.DEBUG)
    draw = random.Random(2)  # noqa: S311
    for _ in range(200):
        card, text = writing(draw)
        told = str(redact_values({"order": {text: [text]}}))
        assert card not in readable_digits(told)
