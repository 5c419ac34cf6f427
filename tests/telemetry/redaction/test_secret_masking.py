"""No credential passes redaction, after a telling name or in a known form."""

import json

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from moneypath.telemetry.redaction import CARD_MASK, SECRET_MASK, is_secret_name, redact

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
    """In headers, pairs, JSON, nested JSON, URLs, byte tuples: the value is masked, the name stays."""
    assume(secret not in template)  # a name that equals the value stays, and should
    text = template.format(secret)
    masked = redact(text)
    assert secret not in masked
    assert SECRET_MASK in masked or CARD_MASK in masked
    assert masked.split(SECRET_MASK)[0] in text


@given(secret=st.text(min_size=1, max_size=30))
def test_any_json_string_under_a_secret_name_is_masked_whole(secret: str) -> None:
    """Quotes, backslashes and blanks do not end the value, and the document stays valid."""
    masked = redact(json.dumps({"password": secret, "after": 1}))
    assert json.loads(masked) in ({"password": SECRET_MASK, "after": 1}, {"password": secret, "after": 1})
    if secret not in (SECRET_MASK, CARD_MASK):
        assert json.loads(masked)["password"] in (SECRET_MASK, CARD_MASK)


SHAPES = (
    "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
    "rk_test_4eC39HqLyjWDarjtT1",
    "whsec_Zm9vYmFyYmF6",
    "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "github_pat_11ABCDEFG0abcdefzhij_xyz",
    "glpat-ABCDEFGHijklmnop1234",
    "xoxb-123456789012-abcdef",
    "xapp-1-A0000-123-abc",
    "AKIAIOSFODNN7EXAMPLE",
    "ASIAIOSFODNN7EXAMPLE",
    "AIzaSyA1234567890abcdefzhijklmnopqrstuv",
    "ya29.a0AfH6SMBxxxxxxxxxxxx",
    "sq0csp-abcdefzhijklmnopqrst",
    "shpat_0123456789abcdef0123456789abcdef",
    "access_token$production$abcdefzhij123456$0a1b2c",
    "SG.abcdefzhijklmnopqrstuv.abcdefzhijklmnopqrstuvwx",
    "sk-proj-abcdefzhijklmnopqrstuvwxyz0123456789",
    "npm_abcdefzhijklmnopqrstuvwxyz0123456789",
    "hvs.CAESIJabcdefzhijklmnopqrstuv",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
    "eyJhbGciOiJSU0EifQ.b0tl.aXY.Y2lwaGVy.dGFn",
)


# Long texts are looked at for what no secret lacks before they are searched.
PADDING = " 0." * 200


@pytest.mark.parametrize("token", SHAPES)
def test_token_of_known_shape_is_masked(token: str) -> None:
    """It needs no name."""
    assert redact(f"{PADDING}{token}{PADDING}") == f"{PADDING}{SECRET_MASK}{PADDING}"
    assert redact(f"got {token}, tried again") == f"got {SECRET_MASK}, tried again"
    assert redact(json.dumps({"note": f"got {token}"})) == json.dumps({"note": f"got {SECRET_MASK}"})


@pytest.mark.parametrize(
    "text",
    [
        "a risk-assessment-of-the-whole-account",
        "task-0123456789abcdef0123456789",
        "the eyJ prefix.",
        "AKIA is a prefix",
        "sk_live_",
        "ghp_short",
        "xAKIAIOSFODNN7EXAMPLE",
        "npm_config_cache=/tmp",
    ],
)
def test_words_that_begin_alike_survive(text: str) -> None:
    """A prefix alone, or within a word, is not a token."""
    assert redact(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "Cookie: theme=dark; session=hunter2; lang=en",
        "Authorization: Digest username=me, realm=x, response=hunter2",
        "authorization: AWS4-HMAC-SHA256 Credential=hunter2/x, SignedHeaders=host, Signature=hunter2",
        "cvv: hunter2",
        "cardCvc2=hunter2",
        "pin_block=hunter2",
        "track2Data=hunter2",
        "session_id=hunter2",
        "verificationValue: 'hunter2'",
    ],
)
def test_lists_and_names_of_the_card_trade_are_masked(text: str) -> None:
    """Every cookie and parameter of a header, and card codes and PIN blocks."""
    for shown in (redact(text), redact(f"{PADDING}{text}{PADDING}")):
        assert "hunter2" not in shown
        assert SECRET_MASK in shown


NAMES = (
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "credential",
    "api_key",
    "private key",
    "signing-key",
    "session_id",
    "authorization",
    "cookie",
    "card_number",
    "security_code",
    "cvv",
    "cvc2",
    "verification value",
    "track1",
    "track_data",
    "magnetic_stripe",
    "pan",
    "csc",
    "pin",
    "otp",
    "iban",
)


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_found_in_long_text(name: str) -> None:
    """In lower and upper case, also after a letter whose lower case has two characters."""
    for written in (name, name.upper(), f"\u0130 {name}"):
        text = f"{PADDING}{written}=hunter2 {PADDING}"
        assert redact(text) == text.replace("hunter2", SECRET_MASK)
        assert is_secret_name(written)


@pytest.mark.parametrize(
    "text", ["spin=1", "span: 5", "company: ACME", "pinned: yes", "discount=5", "code: 200"]
)
def test_names_that_end_alike_survive(text: str) -> None:
    """Everyday names contain the same letters."""
    assert redact(text) == text


def test_keys_and_tokens_of_known_shape_are_masked() -> None:
    """A private key block and a JSON web token need no name."""
    block = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nIBAAK\n-----END RSA PRIVATE KEY-----"
    assert redact(f"read {block} done") == f"read {SECRET_MASK} done"
    assert redact("read -----BEGIN PRIVATE KEY-----\nMIIE") == f"read {SECRET_MASK}"
    assert redact("got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln.") == f"got {SECRET_MASK}."


def test_rest_of_the_line_stays_readable() -> None:
    """Only the value is masked."""
    assert redact("token=abc, status=200 path=/x") == f"token={SECRET_MASK}, status=200 path=/x"
    assert redact("Authorization: Bearer abc status=200") == f"Authorization: {SECRET_MASK} status=200"
    assert redact("a=1&token=abc&b=2") == f"a=1&token={SECRET_MASK}&b=2"


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
