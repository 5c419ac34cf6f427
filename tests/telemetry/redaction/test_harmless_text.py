"""Text that only looks like a card number stays, and the share that is masked by chance is known."""

import uuid
from datetime import UTC, datetime
from itertools import product
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moneypath.telemetry.redaction import CARD_MASK, SECRET_MASK, redact
from moneypath.telemetry.redaction.issuers import ISSUERS, chance_share

ALLOWED_EXCESS = 1.2


@given(moment=st.datetimes(datetime(2000, 1, 1), datetime(2039, 9, 18)))
def test_timestamps_survive(moment: datetime) -> None:
    """A time stays, written out or counted in seconds to nanoseconds.

    Until 18 September 2039: then a count of microseconds begins like a card number (2200 to 2204).
    """
    aware = moment.replace(tzinfo=UTC)
    seconds = int(aware.timestamp())
    for text in (
        aware.isoformat(),
        str(aware),
        f"{aware:%Y%m%d%H%M%S}",
        f"{aware:%Y-%m-%d %H-%M-%S}",
        f"at {seconds}",
        f"{seconds * 1000 + 7}",
        f"{seconds * 10**6 + 7}",
        f"{seconds * 10**9 + 7}",
    ):
        assert redact(text) == text


@given(value=st.uuids())
def test_uuids_survive(value: uuid.UUID) -> None:
    """An id that happens to hold many digits is left alone, beside other text too."""
    for text in (str(value), f"payment {value}, key={value};", f"/v1/payments/{value}/capture"):
        assert redact(text) == text


def test_uuid_and_hash_that_contain_a_card_number_survive() -> None:
    """Digits that pass every check stay if the form shows that they belong to an id."""
    for text in ("41111111-1111-1111-8111-111111111111", "f" * 24 + "4111111111111111" + "e" * 24):
        assert redact(f"seen {text} twice") == f"seen {text} twice"
        assert CARD_MASK in redact(f"seen {text[:-1]} twice")


@given(number=st.floats(0, 1))
def test_fractions_survive(number: float) -> None:
    """The sixteen digits of a duration are no card number."""
    assert redact(f"took {number!r} s") == f"took {number!r} s"


@pytest.mark.parametrize(
    "text",
    [
        "ORD-2026-000123",
        "order 1000000000000001",
        "took 41111111.11111111 s",
        "version 41.11.11.11.11.11.11.11",
        "4111.1111 1111.1111 of two",
        "a" * 40,
        "4111111111111111aaaaaaaaaaaaaaaa",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "idempotency_key=0b5c provider_key=77aa group_key={} routing-key: x",
        "moneypath_authorization_results_total 5",
        "authorizations=5",
        "the authorization was approved",
        "monkey: business, span=5, company: ACME",
        "tok_411111_9f8e7d6c5b4a",
        "https://north.example:8443/v1/operations/42",
        "",
    ],
)
def test_harmless_text_is_unchanged(text: str) -> None:
    """Text that an operator searches for stays."""
    assert redact(text) == text


@pytest.mark.parametrize("name", ["extra_key", "api_key", "access_token", "password", "client-secret"])
def test_a_sentence_about_a_name_is_unchanged(name: str) -> None:
    """An error may name a key in quotes. Only what follows the name as its value is masked."""
    sentence = f'moneypath.yaml, line 3: "{name}" is not a known key; allowed: id, title'
    assert redact(sentence) == sentence
    assert redact(f"{name}=abc") == f"{name}={SECRET_MASK}"
    assert redact(f"{name}: abc") == f"{name}: {SECRET_MASK}"


def share_masked(length: int, random: Random) -> float:
    """Return the share of random digit strings of a length that is masked.

    All first four digits and all last digits occur equally often, which reduces chance: a plain sample of
    12 digits would contain a card number once in ten thousand.
    """
    prefixes = [f"{number:04}" for number in range(10_000)]
    bodies = [prefix + f"{random.randrange(10 ** (length - 5)):0{length - 5}}" for prefix in prefixes]
    numbers = [body + digit for body, digit in product(bodies, "0123456789")]
    text = " id ".join(numbers)
    return redact(text).count(CARD_MASK) / len(numbers)


@pytest.mark.parametrize("length", range(12, 20))
@pytest.mark.heavy
def test_share_of_random_numbers_masked_stays_at_its_floor(length: int) -> None:
    """The floor is the share of prefixes that are issued at this length, times one check digit in ten."""
    share = share_masked(length, Random(20261122 + length))  # noqa: S311 - drawn again alike
    floor = chance_share(length)
    assert 0.999 * floor < share <= ALLOWED_EXCESS * floor


def test_floor_follows_from_the_table_of_issuers() -> None:
    """Computed by hand for rare lengths: nine Maestro prefixes of 10,000, then Visa's tenth."""
    maestro = 9 / 10_000
    assert chance_share(12) == pytest.approx(maestro / 10)
    assert chance_share(13) == pytest.approx((0.1 + maestro) / 10)
    assert chance_share(11) == chance_share(20) == 0
    assert chance_share(16) < 0.04


def test_no_issuer_takes_the_numbers_of_clocks() -> None:
    """Seconds to nanoseconds since 1970 begin with a 1 until 2033, compact dates with 19 or 20."""
    for issuer in ISSUERS:
        for text in map(str, range(issuer.first, issuer.last + 1)):
            assert not text.startswith(("0", "1", "20"))
