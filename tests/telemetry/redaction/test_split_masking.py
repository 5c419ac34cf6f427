"""A number split over neighbouring fields is masked; numbers that are merely neighbours are not."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moneypath.telemetry.redaction import CARD_MASK, mask_split_cards, redact

from .card_numbers import CARD, SPLITS, card_numbers, digits_left, parts_of

HALVES = [CARD[:8], CARD[8:]]


@pytest.mark.parametrize("write", SPLITS.values(), ids=SPLITS)
@given(data=st.data(), card=card_numbers())
def test_no_split_hides_a_card_number(
    write: Callable[[list[str]], str], data: st.DataObject, card: str
) -> None:
    """Fields, items, pairs, tags: the parts are masked, the text around them stays.

    Not all parts in every case: the first parts can be a card number already.
    """
    parts = data.draw(parts_of(card))
    masked = redact(f"note {write(parts)} end")
    assert card not in digits_left(masked)
    assert CARD_MASK in masked
    assert (masked[:5], masked[-4:]) == ("note ", " end")


@pytest.mark.parametrize("write", SPLITS.values(), ids=SPLITS)
def test_no_split_makes_a_card_of_other_digits(write: Callable[[list[str]], str]) -> None:
    """The same fields with one digit changed are left alone."""
    text = write([CARD[:8], CARD[8:-1] + "2"])
    assert redact(text) == text


def test_word_before_the_first_part_does_not_hide_it() -> None:
    """Nor do digits in the names of fields hide the second."""
    assert redact("pan41111111, 11111111") == f"pan{CARD_MASK}, {CARD_MASK}"
    assert redact("n1=5 n41=41111111 n42=11111111") == f"n1=5 n41={CARD_MASK} n42={CARD_MASK}"


@pytest.mark.parametrize(
    "text",
    [
        "paid 41111111 and 11111111",
        '{"a": "41111111", "currency": "EUR", "b": "11111111"}',
        "a=41111111.5 b=11111111",
        "a=41111111 b=x11111111",
        "attempts=411 ms=1111111111111",
        "41111111\n11111111",
    ],
)
def test_numbers_apart_are_not_joined(text: str) -> None:
    """Words, other values, fractions, a line's end and short counts stand between them."""
    assert redact(text) == text


def test_long_list_of_bare_numbers_is_looked_at_where_it_begins_and_ends() -> None:
    """Elsewhere amounts would pass every check by chance too often."""
    amounts = [str(1000 + 7 * step) for step in range(12)]
    for items, hidden in (
        ([*HALVES, *amounts], True),
        ([*amounts, *HALVES], True),
        ([*amounts[:6], *HALVES, *amounts[6:]], False),
        ([*amounts[:3], *HALVES, *amounts[:3]], True),
    ):
        assert (CARD_MASK in redact(json.dumps(items))) is hidden
        assert (CARD_MASK in redact(", ".join(items))) is hidden
    named = {f"f{index}": item for index, item in enumerate([*amounts[:6], *HALVES, *amounts[6:]])}
    assert redact(json.dumps(named)).count(CARD_MASK) == 2


@given(data=st.data(), card=card_numbers())
def test_values_of_nested_fields_are_joined(data: st.DataObject, card: str) -> None:
    """Dicts and lists are masked like text, with numbers and strings."""
    parts = data.draw(parts_of(card))
    kinds: list[Callable[[str], Any]] = [str, lambda part: part if part.startswith("0") else int(part)]
    values = [data.draw(st.sampled_from(kinds))(part) for part in parts]
    shapes: list[Any] = [
        {f"n{index}": value for index, value in enumerate(values)},
        {"deep": {"list": list(values)}},
        [{"part": value} for value in values],
        {"first": values[0], "rest": {"more": values[1:]}},
    ]
    shape: Any = data.draw(st.sampled_from(shapes))
    mask_split_cards(shape)
    left = [part for part in parts if f'"{part}"' in json.dumps(shape) or f" {part}" in json.dumps(shape)]
    assert left == []


def test_other_values_are_left_as_they_are() -> None:
    """With words between, short numbers, fractions or booleans the same objects stay."""
    event: dict[str, Any] = {
        "event": "paid", "amount": 4999, "a": "41111111", "b": True, "c": "11111111", "d": 4.5, "e": None,
    }  # fmt: skip
    before = dict(event)
    mask_split_cards(event)
    assert event == before
