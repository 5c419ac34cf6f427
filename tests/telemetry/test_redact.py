"""No card number and no credential survives; what logs are read for does."""

import json
import uuid
from datetime import UTC, datetime

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from moneypath.telemetry.redaction import CARD_MASK, SECRET_MASK, is_card_number, is_secret_name, redact

# The networks' published test numbers, of 12 to 19 digits.
CARDS = (
    *("4111111111111111", "4012888888881881", "4222222222222", "4000000000000000006", "5555555555554444"),
    *("2223003122003222", "2720992593319364", "378282246310005", "341111111111111", "6011111111111117"),
    *("6445644564456445", "30569309025904", "38520000023237", "3530111333300000", "6200000000000005"),
    *("2200000000000004", "6759649826438453", "501800000009", "6304000000000000", "8171999927660000"),
)
PREFIXES = (
    *(("4", n) for n in (13, 16, 19)),
    *(("51", 16), ("55", 16), ("2221", 16), ("2720", 16), ("34", 15), ("37", 15), ("36", 14), ("300", 14)),
    *(
        ("6011", 16),
        ("6011", 19),
        ("65", 19),
        ("644", 16),
        ("3528", 16),
        ("62", 17),
        ("2204", 16),
        ("5018", 12),
        ("6763", 19),
    ),
)


def check_digit(body: str) -> str:
    """Return the Luhn check digit, reckoned in another way than the code under test does."""
    doubled = [int(digit) * 2 for digit in body[::-2]]
    total = sum(sum(map(int, str(number))) for number in doubled) + sum(map(int, body[-2::-2]))
    return str(-total % 10)


@st.composite
def card_numbers(draw: st.DrawFn) -> str:
    """Draw a card number of any network and length."""
    prefix, length = draw(st.sampled_from(PREFIXES))
    missing = length - 1 - len(prefix)
    body = prefix + draw(st.text("0123456789", min_size=missing, max_size=missing))
    return body + check_digit(body)


def grouped(digits: str, separator: str, size: int) -> str:
    """Write digits in groups."""
    return separator.join(digits[start : start + size] for start in range(0, len(digits), size))


@pytest.mark.parametrize("card", CARDS)
def test_published_test_numbers_are_masked(card: str) -> None:
    """Plain, dashed and spaced, alone and within a sentence, nothing of the number is left."""
    for separator in ("", " ", "-", "\u2011", "\u00a0"):
        assert redact(f"card {grouped(card, separator, 4)}, declined") == f"card {CARD_MASK}, declined"
    assert redact(card) == CARD_MASK


@given(card=card_numbers(), separator=st.sampled_from(["", " ", "-"]), size=st.integers(1, 6))
def test_every_card_number_is_masked_however_it_is_grouped(card: str, separator: str, size: int) -> None:
    """The grouping does not matter, only that one separator at most stands between two digits."""
    assert is_card_number(card)
    assert redact(grouped(card, separator, size)) == CARD_MASK


@given(
    card=card_numbers(),
    before=st.text(st.characters(exclude_categories=["Nd"]), max_size=20),
    after=st.text(st.characters(exclude_categories=["Nd"]), max_size=20),
)
def test_card_number_is_masked_in_any_surroundings(card: str, before: str, after: str) -> None:
    """Letters, quotes, underscores or nothing may stand beside it."""
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


@given(moment=st.datetimes(datetime(2000, 1, 1), datetime(2039, 9, 18)))
def test_timestamps_survive(moment: datetime) -> None:
    """Written out or counted in seconds to nanoseconds, a time is left alone.

    Until 18 September 2039: from then on a count of microseconds begins like a card number (2200 to 2204).
    """
    aware = moment.replace(tzinfo=UTC)
    seconds = int(aware.timestamp())
    for text in (
        *(aware.isoformat(), str(aware), f"{aware:%Y%m%d%H%M%S}", f"{aware:%Y-%m-%d %H-%M-%S}"),
        *(f"at {seconds}", f"{seconds * 1000 + 7}", f"{seconds * 10**6 + 7}", f"{seconds * 10**9 + 7}"),
    ):
        assert redact(text) == text


@given(value=st.uuids())
def test_uuids_survive(value: uuid.UUID) -> None:
    """An id that happens to hold many digits is left alone, beside other text too."""
    for text in (str(value), f"payment {value}, key={value};", f"/v1/payments/{value}/capture"):
        assert redact(text) == text


def test_uuid_and_hash_that_contain_a_card_number_survive() -> None:
    """Digits that happen to pass every check are left alone where the shape says that they are an id."""
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
    """What an operator searches for is still there."""
    assert redact(text) == text


SECRETS = st.text(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_", min_size=12, max_size=43
)


@pytest.mark.parametrize(
    "template",
    [
        "Authorization: Bearer {}",
        "authorization={}",
        "{{'Authorization': 'Bearer {}'}}",
        "(b'authorization', b'Basic {}')",
        "(b'x-api-key', b'{}')",
        "sent bearer {} to north",
        "X-Api-Key: {}",
        "x_api_key={}",
        "apiKey: {}",
        "north_api_key={}",
        "signing_key='{}'",
        "DATABASE_PASSWORD={}",
        "passwd : {}",
        '"client_secret": "{}"',
        '"password":"{}"',
        '{{\\"password\\": \\"{}\\"}}',
        "Token {{'access_token': '{}'}}",
        "card_token={}",
        "/callback?token={}&x=1",
        "token%3D{}",
        "secret => {}",
        "Set-Cookie: {}",
        "postgresql://refpay_app:{}@127.0.0.1/refpay",
        "password='{}",
    ],
)
@given(secret=SECRETS)
def test_credential_is_masked(template: str, secret: str) -> None:
    """Headers, pairs, JSON, JSON in JSON, URLs, byte tuples: the value goes, the name stays."""
    assume(secret not in template)  # a name that equals the value stays, and should
    text = template.format(secret)
    masked = redact(text)
    assert secret not in masked
    assert SECRET_MASK in masked or CARD_MASK in masked
    assert masked.split(SECRET_MASK)[0] in text


@given(secret=st.text(min_size=1, max_size=30))
def test_any_json_string_under_a_secret_name_is_masked_whole(secret: str) -> None:
    """Quotes, backslashes and blanks within a value do not end it, and the document stays one."""
    masked = redact(json.dumps({"password": secret, "after": 1}))
    assert json.loads(masked) in ({"password": SECRET_MASK, "after": 1}, {"password": secret, "after": 1})
    if secret not in (SECRET_MASK, CARD_MASK):
        assert json.loads(masked)["password"] in (SECRET_MASK, CARD_MASK)


def test_keys_and_tokens_of_known_shape_are_masked() -> None:
    """A private key block and a JSON web token need no name beside them."""
    block = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nIBAAK\n-----END RSA PRIVATE KEY-----"
    assert redact(f"read {block} done") == f"read {SECRET_MASK} done"
    assert redact("read -----BEGIN PRIVATE KEY-----\nMIIE") == f"read {SECRET_MASK}"
    assert redact("got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln.") == f"got {SECRET_MASK}."


def test_rest_of_the_line_stays_readable() -> None:
    """Masking takes the value and nothing behind it."""
    assert redact("token=abc, status=200 path=/x") == f"token={SECRET_MASK}, status=200 path=/x"
    assert redact("Authorization: Bearer abc status=200") == f"Authorization: {SECRET_MASK} status=200"
    assert redact("a=1&token=abc&b=2") == f"a=1&token={SECRET_MASK}&b=2"


pieces = st.sampled_from(
    [
        *(
            "password",
            "token",
            "api_key",
            "authorization",
            "Bearer",
            "bearer ",
            "cvv",
            "eyJabcdefgh.",
            "://u:p@h",
        ),
        *(
            "=",
            ":",
            " ",
            '"',
            "'",
            "\\",
            "b'",
            "{",
            "}",
            ",",
            "[secret]",
            "[card]",
            "4111111111111111",
            "4111",
            "-",
        ),
        *("-----BEGIN PRIVATE KEY-----", "%3D", "=>", "abc", "\n", "@", "/"),
    ]
)


@given(parts=st.lists(pieces | st.text(max_size=3), max_size=25))
def test_redacting_twice_changes_nothing_more(parts: list[str]) -> None:
    """What passed through two layers of logging reads like what passed through one."""
    once = redact("".join(parts))
    assert redact(once) == once


@given(text=st.text())
def test_redact_takes_any_text(text: str) -> None:
    """No text raises, and text without digits and names is returned as it is."""
    assert isinstance(redact(text), str)


@pytest.mark.parametrize(
    "name", ["password", "db_password", "Authorization", "x-api-key", "token", "token_sha256"]
)
def test_secret_names_are_known(name: str) -> None:
    """A field of such a name is masked whatever its value looks like."""
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name", ["idempotency_key", "provider", "operation", "amount_minor", "span", "monkey"]
)
def test_harmless_names_are_known(name: str) -> None:
    """Everyday fields are left alone."""
    assert not is_secret_name(name)


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "unit",
    [
        "a",
        "1 ",
        "4 ",
        "1-",
        "token",
        "password=",
        "\\",
        '\\"',
        "secret: ",
        "eyJaaaaaaaa",
        "://",
        "pwd \t",
        "-----BEGIN ",
    ],
)
def test_hostile_text_comes_to_an_end(unit: str) -> None:
    """The work grows with the length, not with its square, which at 200 kB would not end in time."""
    text = unit * (200_000 // len(unit))
    for hostile in (text, f"token={text}"):
        assert isinstance(redact(hostile), str)
