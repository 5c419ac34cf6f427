"""The texts that the configuration's patterns mask and leave alone.

The real processor is tested end to end.
"""

import re
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from moneypath.telemetry import Catalogue
from moneypath.telemetry.redaction import is_card_number

ROOT = Path(__file__).parents[2]

Mask = Callable[[str], str]
Patterns = Callable[[str], list[re.Pattern[str]]]

# A number of each network, and the groups in which it is printed.
CARDS = (
    ("4111111111111111", (4, 4, 4, 4)),
    ("4222222222222", (4, 4, 4, 1)),
    ("4000000000000000006", (4, 4, 4, 4, 3)),
    ("5555555555554444", (4, 4, 4, 4)),
    ("2223000048400011", (4, 4, 4, 4)),
    ("378282246310005", (4, 6, 5)),
    ("30569309025904", (4, 6, 4)),
    ("3530111333300000", (4, 4, 4, 4)),
    ("6011111111111117", (4, 4, 4, 4)),
    ("6200000000000000003", (6, 13)),
    ("2200000000000004", (8, 8)),
    ("6759649826438453", (6, 10)),
    ("676200000005", (4, 4, 4)),
)
SEPARATORS = ("", "-", " ", ".", "_", "+", "%20", " - ", "\u00a0", "\u2013")
TEXTS = ("{}", "{} {}", "{},{}", "{}/{}/{}", "a {} b {}")
BEFORE = (
    "",
    " ",
    "=",
    ":",
    '"',
    "'",
    ",",
    ";",
    "/",
    "_",
    "x",
    "PAN",
    "card",
    "[",
    "\n",
    "..",
    "é",
    "?n=",
    "%3D",
)
# No letter of a hexadecimal number: with one on either side a run of digits is taken for part of a hash.
AFTER = tuple(each for each in BEFORE if each != "card")


def luhn(body: str) -> str:
    """Return the number with its check digit."""
    total = 0
    for place, digit in enumerate(reversed(body)):
        doubled = int(digit) * (2 if place % 2 == 0 else 1)
        total += doubled - 9 if doubled > 9 else doubled
    return body + str(-total % 10)


def grouped(number: str, groups: tuple[int, ...], separator: str) -> str:
    """Write a number in groups."""
    parts, done = [], 0
    for length in groups:
        parts.append(number[done : done + length])
        done += length
    assert done == len(number)
    return separator.join(parts)


@pytest.mark.parametrize(("number", "groups"), CARDS)
@given(
    separator=st.sampled_from(SEPARATORS),
    text=st.sampled_from(TEXTS),
    before=st.sampled_from(BEFORE),
    after=st.sampled_from(AFTER),
)
def test_no_card_number_stays(
    number: str, groups: tuple[int, ...], separator: str, text: str, before: str, after: str, mask: Mask
) -> None:
    """For every network, separator and neighbour, also several in a row, no group of digits is left."""
    # Two groups and a point between them are a decimal fraction.
    assume(separator != "." or len(groups) > 2)
    # Six groups of four with spaces between: the first four are taken for the number.
    assume(groups != (4, 4, 4) or text != "{} {}")
    left = mask(f"{before}{text.replace('{}', grouped(number, groups, separator))}{after}")
    assert not re.search(r"[0-9]{4}", left), left
    assert "****" in left


def test_a_run_of_digits_within_a_hash_is_no_card_number(mask: Mask) -> None:
    """With hexadecimal letters on both sides it stays; with one side only it is masked."""
    assert mask("ab4111111111111111cd") == "ab4111111111111111cd"
    for text in ("ab4111111111111111", "4111111111111111cd", "x4111111111111111cd", "ab4111111111111111x"):
        assert "4111" not in mask(text)


def test_whatever_the_source_takes_for_a_card_is_one_here(mask: Mask) -> None:
    """Every prefix and length that the library masks at the source is masked here."""
    known = 0
    for prefix in range(10_000):
        for length in range(12, 20):
            number = luhn(f"{prefix:04}{'7' * (length - 5)}")
            if is_card_number(number):
                known += 1
                assert mask(number) == "****", number
    assert known > 8000


def test_the_share_of_harmless_numbers_that_is_masked_is_known(mask: Mask) -> None:
    """Only the issuers' ranges decide here; the guide states the share of all numbers that they match."""
    masked = sum(mask(f"{prefix:04}123456789012") == "****" for prefix in range(10_000))
    guide = (ROOT / "docs/guides/collector.md").read_text(encoding="utf-8")
    assert f"{masked / 100:.1f} %" in guide
    assert masked < 3400


SECRETS = (
    "Bearer abcdefgh.ijkl-mnop",
    "authorization: Basic dXNlcjpwYXNz",
    '{"Authorization": "Bearer abcdefghijkl"}',
    "proxy-authorization=Digest abcdefgh",
    "authorization: 0123456789abcdef0123",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "password=abcdefgh",
    "api_key: abcdefgh",
    "postgresql://refpay:abcdefgh@db/refpay",
    "-----BEGIN RSA PRIVATE KEY-----\nabcdefgh\nabcdefgh\n-----END RSA PRIVATE KEY-----",
)
CODES = ("cvv=123", "CVC2: 1234", '"cvv2":"123"', "security code 123", "card_verification=123")
TRACKS = (
    "%B4111111111111111^DOE/JOHN^25121010000000000000?",
    ";4111111111111111=25121010000012345678?",
    "4111111111111111D25121010000012345678",
)
IBANS = (
    "DE89370400440532013000",
    "DE89 3704 0044 0532 0130 00",
    "NO9386011117947",
    "NO93 8601 1117 947",
    "GB29NWBK60161331926819",
    "FR1420041010050500013M02606",
    "MT84MALT011000012345MTLCAST001S",
    "BE68 5390 0754 7034",
    "iban:BE68539007547034",
    "to_BE68539007547034",
)


@pytest.mark.parametrize("text", SECRETS)
def test_no_credential_stays(text: str, mask: Mask) -> None:
    """Neither after its scheme, nor after its name, nor a token of a known form."""
    for _ in range(20):
        left = mask(f"call failed: {text}")
        assert "****" in left
        assert not re.search(r"abcdefgh|dXNlcj|eyJ|0123456789", left), left


@pytest.mark.parametrize("text", [*CODES, *TRACKS, *IBANS])
def test_no_code_track_or_account_stays(text: str, mask: Mask) -> None:
    """In any order of the patterns no digits and no cardholder name are left."""
    for _ in range(20):
        left = mask(f"seen: {text} today")
        assert "****" in left
        assert not re.search(r"[0-9]{3}|DOE|[A-Z]{4}[0-9]", left), left
        assert left.endswith("today")


def harmless() -> Iterator[str]:
    """Yield texts that look similar and must not be masked."""
    yield from ("1795328602", "1795328602123", "1795328602123456", "1795328602123456789")
    yield from ("2026-11-22T12:42:55.123456Z", "2026-11-22 12:42:55", "20261122124255", "202611221242551234")
    yield from ("0.4111111111111111", "took 0.4111111111111111 s", '{"seconds": 0.3782822463100051}')
    yield from ("41.11111111111111", "-5.555555555554444", "4.111111111111111e-05", "13.37", "4096")
    yield from ("10.255.255.254:65535", "4.12.255.255", "2001:db8:4111:1111:1111:1111:1:1", "v4.11.1111")
    yield from ("+49 30 1234567", "order 1234567890123456", "0000411111111111", "9911111111111111")
    yield from ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", "a4111111111111111f")
    yield from ("authorization: declined by the issuer", "authorization_results", "the token expired", "pin")
    yield from ("secret scanning is on", "cvv mismatch", "bearer", "DE89", "IT department", "SE12 build")
    yield from ("http://collector:4318/v1/metrics", "postgresql://refpay@db:5432/refpay")


@pytest.mark.parametrize("text", list(harmless()))
def test_what_looks_alike_survives(text: str, mask: Mask) -> None:
    """Times, fractions, addresses, hashes and words of payments stay."""
    assert mask(text) == text


@given(value=st.uuids())
def test_uuids_survive(value: uuid.UUID, mask: Mask) -> None:
    """A UUID is not a card number although it has groups of digits, also in a list of UUIDs."""
    assert mask(f"payment {value} of {value}") == f"payment {value} of {value}"


def test_nothing_of_our_own_vocabulary_is_masked(mask: Mask, patterns: Patterns) -> None:
    """No label name or value of the catalogue is masked, because that would lose a series."""
    keys = patterns("blocked_key_patterns")
    checked = 0
    for spec in Catalogue.load(ROOT / "src/refpay/catalogue.json"):
        for name, values in spec.labels.items():
            assert not any(pattern.search(name) for pattern in keys), name
            for value in values:
                assert mask(value) == value
                checked += 1
    assert checked > 200


SECRET_FIELDS = (
    "authorization",
    "http.request.header.authorization",
    "Proxy-Authorization",
    "set-cookie",
    "track2",
    "card.number",
    "card_number",
    "pan",
    "card.pan",
    "cvv",
    "card.cvc2",
    "pin",
    "db.password",
    "api-key",
    "access_token",
    "payment.iban",
    "track_data",
    "client_secret",
)
OTHER_FIELDS = (
    "moneypath.authorization.result",
    "authorization_results",
    "span",
    "company",
    "shipping",
    "idempotency_key",
    "gen_ai.usage.input_tokens",
    "moneypath.outcome",
    "service.name",
    "le",
)


@pytest.mark.parametrize(
    ("key", "blocked"), [*((key, True) for key in SECRET_FIELDS), *((key, False) for key in OTHER_FIELDS)]
)
def test_fields_are_known_by_their_names(key: str, blocked: bool, patterns: Patterns) -> None:
    """A field with a secret name is masked whatever its value; one with a similar name is not."""
    assert any(pattern.search(key) for pattern in patterns("blocked_key_patterns")) == blocked
