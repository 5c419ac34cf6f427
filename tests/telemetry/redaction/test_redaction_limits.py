"""Redaction accepts any text, takes linear time, and is idempotent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moneypath.telemetry.redaction import redact, redact_bytes

from .card_numbers import disguised_cards

pieces = st.sampled_from(
    [
        "password",
        "token",
        "api_key",
        "authorization",
        "Bearer",
        "bearer ",
        "cvv",
        "eyJabcdefgh.",
        "://u:p@h",
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
        "-----BEGIN PRIVATE KEY-----",
        "%3D",
        "=>",
        "abc",
        "\n",
        "@",
        "/",
    ]
)


@given(parts=st.lists(pieces | st.text(max_size=3), max_size=25))
def test_redacting_twice_changes_nothing_more(parts: list[str]) -> None:
    """Text that passes two layers of logging equals text that passes one."""
    once = redact("".join(parts))
    assert redact(once) == once


@given(text=st.text())
def test_redact_takes_any_text(text: str) -> None:
    """No text raises, and text without digits and names is returned unchanged."""
    assert isinstance(redact(text), str)


@given(drawn=st.lists(disguised_cards() | st.tuples(st.just(""), pieces), max_size=4))
def test_redacting_disguises_twice_changes_nothing_more(drawn: list[tuple[str, str]]) -> None:
    """The same for numbers in their disguises, side by side."""
    once = redact(" ".join(text for _, text in drawn))
    assert redact(once) == once


@given(text=st.text('0123456789 .-,"%\\u', max_size=120))
def test_digits_in_any_order_settle_at_once(text: str) -> None:
    """No order of digits and separators needs a second call."""
    once = redact(text)
    assert redact(once) == once


@given(content=st.binary(max_size=60))
def test_bytes_that_hold_no_number_are_kept(content: bytes) -> None:
    """Every byte survives, UTF-8 or not."""
    if content.isascii() and b"=" not in content and b":" not in content:
        assert redact_bytes(content) == content
    assert isinstance(redact_bytes(content), bytes)


HOSTILE = (
    "a",
    "1 ",
    "4 ",
    "4. ",
    "4.",
    "1-",
    "4-",
    "1",
    "4111",
    "4111,",
    "4111=",
    "a4111=4111 ",
    "0a-",
    "token",
    "password=",
    "secret: ",
    "pwd \t",
    "bearer ",
    "sk_live_",
    "sk-",
    "cookie=a=b; ",
    "authorization: digest a=b,",
    "://",
    "-----BEGIN ",
    "eyJaaaaaaaa",
    "eyJaaaaaaaa.",
    "^",
    "%B4111",
    "B4^",
    "\\",
    '\\"',
    '"',
    "\\u0034",
    "%34",
    "%25",
    "%",
    "\u0664",
    "DE89",
    "DE89 ",
    "GB29NWBK",
    "<",
    "<a>4111",
    '{"a":"1111","b":"',
    "4111 : ",
    "4111, \n",
)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("unit", HOSTILE)
@pytest.mark.heavy
def test_hostile_text_comes_to_an_end(unit: str) -> None:
    """Quadratic time would not finish 200 kB."""
    text = unit * (200_000 // len(unit))
    for hostile in (text, f"token={text}"):
        assert isinstance(redact(hostile), str)
