"""Magnetic stripe data and account numbers are masked completely."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moneypath.telemetry.redaction import ACCOUNT_MASK, CARD_MASK, redact
from moneypath.telemetry.redaction.accounts import IBAN_LENGTHS, is_iban

from .card_numbers import CARD, WRITINGS, card_numbers, grouped, in_json, in_url

# The registry's own examples.
IBANS = (
    "GB29NWBK60161331926819",
    "DE89370400440532013000",
    "FR1420041010050500013M02606",
    "NL91ABNA0417164300",
    "NO9386011117947",
    "BE68539007547034",
    "CH9300762011623852957",
    "MT84MALT011000012345MTLCAST001S",
    "SA0380000000608010167519",
    "PL61109010140000071219812874",
)
TRACK_1 = "%B4111111111111111^DOE/JOHN^27121011234500000000?"
TRACK_2 = ";4111111111111111=27121011234500000000?"


@st.composite
def ibans(draw: st.DrawFn) -> str:
    """Draw an IBAN of any country, with check digits computed by long division."""
    country = draw(st.sampled_from(sorted(IBAN_LENGTHS)))
    size = IBAN_LENGTHS[country] - 4
    account = draw(st.text("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=size, max_size=size))
    remainder = 0
    for character in f"{account}{country}00":
        for digit in str(int(character, 36)):
            remainder = (remainder * 10 + int(digit)) % 97
    return f"{country}{98 - remainder:02}{account}"


@pytest.mark.parametrize("iban", IBANS)
def test_registered_examples_are_masked(iban: str) -> None:
    """Plain, in groups, in lower case, within a sentence."""
    for text in (iban, grouped(iban, " ", 4), grouped(iban, "-", 4), iban.lower()):
        assert redact(f"to {text}, EUR 5") == f"to {ACCOUNT_MASK}, EUR 5"
    assert redact(f"iban={iban}") in (f"iban={ACCOUNT_MASK}", "iban=[secret]")


@given(iban=ibans(), spaced=st.booleans(), behind=st.sampled_from(["", " EUR 5", ", ok", '"', " 4", "."]))
def test_every_account_number_is_masked(iban: str, spaced: bool, behind: str) -> None:
    """Of any country; the following words stay."""
    text = grouped(iban, " ", 4) if spaced else iban
    assert is_iban(iban)
    assert redact(f"to {text}{behind}") == f"to {ACCOUNT_MASK}{behind}"


@given(iban=ibans())
def test_encoded_account_number_is_masked(iban: str) -> None:
    """In URLs and in JSON escapes."""
    for text in (in_url(iban), in_json(iban), grouped(iban, "%20", 4)):
        assert redact(f"to {text} now") == f"to {ACCOUNT_MASK} now"


@given(iban=ibans(), place=st.integers(4, 14), change=st.integers(1, 9))
def test_other_references_are_no_account_number(iban: str, place: int, change: int) -> None:
    """With a wrong digit, another length or an unknown country an order reference stays."""
    if not iban[place].isdigit():
        return
    wrong = iban[:place] + str((int(iban[place]) + change) % 10) + iban[place + 1 :]
    for text in (wrong, f"{iban}0", f"X{iban}", f"ZZ{iban[2:]}"):
        assert ACCOUNT_MASK not in redact(f"reference {text} paid")


@pytest.mark.parametrize(
    "track", [TRACK_1, TRACK_2, TRACK_1[1:-1], TRACK_2[1:-1], TRACK_2[1:-1].replace("=", "D")]
)
def test_stripe_goes_as_a_whole(track: str) -> None:
    """With and without sentinels: number, name, expiry and the issuer's data."""
    assert redact(f"read {track} at") == f"read {CARD_MASK} at"


@given(card=card_numbers(), rest=st.from_regex(r"[0-9]{7,20}", fullmatch=True))
def test_every_stripe_is_masked(card: str, rest: str) -> None:
    """For any number; neither name nor service code is left."""
    for text in (f"%B{card}^DOE/JANE^{rest}?", f";{card}={rest}?", f"{card}={rest}"):
        assert redact(text) == CARD_MASK
        assert redact(in_url(text)) == CARD_MASK


def test_stripe_of_no_known_issuer_goes_by_its_sentinels() -> None:
    """Fuel and gift cards have no issuer in the table; without sentinels such digits are an equation."""
    assert redact(";100000000000000=27121011234?") == CARD_MASK
    assert redact("%B100000000000000^GIFT/CARD^27121011234?") == CARD_MASK
    assert redact("100000000000000=27121011234") == "100000000000000=27121011234"


def test_neighbours_of_the_writings_keep_their_shape() -> None:
    """A check of the test data: each disguise contains the card in its own form."""
    assert len({write(CARD) for write in WRITINGS.values()}) == len(WRITINGS)
