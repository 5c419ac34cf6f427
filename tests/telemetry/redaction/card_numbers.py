"""Card numbers of every issuer and length, in every known disguise."""

import json
import re
import unicodedata
from collections.abc import Callable
from urllib.parse import quote, unquote_plus

from hypothesis import strategies as st

from moneypath.telemetry.redaction.issuers import ISSUERS

# The networks' published test numbers, of 12 to 19 digits.
CARDS = (
    "4111111111111111",
    "4012888888881881",
    "4222222222222",
    "4000000000000000006",
    "5555555555554444",
    "2223003122003222",
    "2720992593319364",
    "378282246310005",
    "341111111111111",
    "6011111111111117",
    "6445644564456445",
    "30569309025904",
    "38520000023237",
    "3530111333300000",
    "6200000000000005",
    "2200000000000004",
    "6759649826438453",
    "501800000009",
    "6304000000000000",
    "8171999927660000",
)
CARD = CARDS[0]
KINDS = [(issuer, length) for issuer in ISSUERS for length in issuer.lengths]


def check_digit(body: str) -> str:
    """Return the Luhn check digit, computed differently from the code under test."""
    doubled = [int(digit) * 2 for digit in body[::-2]]
    total = sum(sum(map(int, str(number))) for number in doubled) + sum(map(int, body[-2::-2]))
    return str(-total % 10)


@st.composite
def card_numbers(draw: st.DrawFn) -> str:
    """Draw a card number of any issuer and length."""
    issuer, length = draw(st.sampled_from(KINDS))
    prefix = str(draw(st.integers(issuer.first, issuer.last)))
    missing = length - 1 - len(prefix)
    body = prefix + draw(st.text("0123456789", min_size=missing, max_size=missing))
    return body + check_digit(body)


def grouped(digits: str, separator: str, size: int) -> str:
    """Write digits in groups."""
    return separator.join(digits[start : start + size] for start in range(0, len(digits), size))


@st.composite
def parts_of(draw: st.DrawFn, card: str) -> list[str]:
    """Cut a number into two to four parts of at least four digits; the last may be shorter."""
    parts: list[str] = []
    rest = card
    for _ in range(draw(st.integers(1, 3))):
        if len(rest) < 5:
            break
        size = draw(st.integers(4, len(rest) - 1))
        parts.append(rest[:size])
        rest = rest[size:]
    return [*parts, rest]


Write = Callable[[str], str]


def in_url(text: str) -> str:
    """Encode every character."""
    return "".join(f"%{ord(character):02X}" for character in text)


def in_json(text: str) -> str:
    """Write every character as an escape of JSON."""
    return "".join(f"\\u{ord(character):04x}" for character in text)


def in_script(zero: str) -> Write:
    """Return a function that writes digits of another script."""
    return lambda text: "".join(chr(ord(zero) + int(c)) if c.isdigit() else c for c in text)


SEPARATORS = {
    "blank": " ", "dash": "-", "dot": ".", "plus": "+", "no-break blank": "\u00a0", "en dash": "\u2013",
    "tab": "\t", "dash with blanks": " - ", "two blanks": "  ",
    "encoded blank": "%20", "encoded dash": "%2D", "encoded dot": "%2e", "twice encoded blank": "%2520",
    "encoded no-break blank": "%C2%A0", "encoded en dash": "%E2%80%93", "escaped blank": "\\u0020",
    "escaped tab": "\\t", "escaped no-break blank": "\\u00a0", "twice escaped dash": "\\\\u002d",
}  # fmt: skip


def in_groups(separator: str, size: int = 4) -> Write:
    """Return a function that writes digits in groups."""
    return lambda card: grouped(card, separator, size)


GROUPED: dict[str, Write] = {
    **{f"by {name}": in_groups(separator) for name, separator in SEPARATORS.items()},
    "by dots of three": in_groups(".", 3),
    "by ones": in_groups(" ", 1),
    "by sixes": in_groups("-", 6),
}
PLAIN: dict[str, Write] = {
    "plain": str,
    "as bytes": lambda card: repr(card.encode()),
    "as a float": lambda card: f"{card}.0",
    "in the digits of URLs": in_url,
    "half in the digits of URLs": lambda card: card[:5] + in_url(card[5:]),
    "in twice encoded digits": lambda card: quote(in_url(card)),
    "in a query": lambda card: f"/pay?number={card}&cvc=123",
    "in an encoded query": lambda card: quote(f"/pay?number={grouped(card, ' ', 4)}&x=1", safe=""),
    "in JSON": lambda card: json.dumps({"card": card}),
    "in JSON as a number": lambda card: json.dumps({"card": int(card)}),
    "in escaped digits": lambda card: f'{{"card": "{in_json(card)}"}}',
    "in JSON in JSON": lambda card: json.dumps({"body": json.dumps({"card": card})}),
    "escaped in JSON in JSON": lambda card: json.dumps({"body": json.dumps({"c": 1}) + in_json(card)}),
    "in hexadecimal escapes": lambda card: "".join(f"\\x{ord(c):02x}" for c in card),
    "full-width": in_script("\uff10"),
    "Arabic-Indic": in_script("\u0660"),
    "Devanagari, dashed": lambda card: in_script("\u0966")(grouped(card, "-", 4)),
    "among letters": lambda card: f"pan{card}x",
    "behind digits of an encoded sign": lambda card: f"number%3D{card}",
}
WRITINGS = GROUPED | PLAIN
# What is written from the parts of a number.
SPLITS: dict[str, Callable[[list[str]], str]] = {
    "JSON fields": lambda parts: json.dumps({f"pan_{i}": part for i, part in enumerate(parts)}),
    "JSON numbers": lambda parts: "{" + ", ".join(f'"n{i}": {part}' for i, part in enumerate(parts)) + "}",
    "indented JSON": lambda parts: json.dumps({f"n{i}": part for i, part in enumerate(parts)}, indent=4),
    "JSON in JSON": lambda parts: json.dumps({"b": json.dumps({f"n{i}": p for i, p in enumerate(parts)})}),
    "JSON items": json.dumps,
    "JSON objects": lambda parts: json.dumps([{"part": part} for part in parts]),
    "Python items": repr,
    "Python fields": lambda parts: repr({f"n{i}": part for i, part in enumerate(parts)}),
    "items": ", ".join,
    "commas": ",".join,
    "bars": "|".join,
    "pairs": lambda parts: " ".join(f"part{i}={part}" for i, part in enumerate(parts)),
    "quoted pairs": lambda parts: " ".join(f'part{i}="{part}"' for i, part in enumerate(parts)),
    "lines": lambda parts: "\n".join(f"part{i}: {part}" for i, part in enumerate(parts)),
    "query": lambda parts: "&".join(f"p{i}={part}" for i, part in enumerate(parts)),
    "encoded query": lambda parts: quote("&".join(f"p{i}={part}" for i, part in enumerate(parts))),
    "tags": lambda parts: "".join(f"<n{i}>{part}</n{i}>" for i, part in enumerate(parts)),
}

_ESCAPE = re.compile(r"\\+(?:u00|x)([0-9a-fA-F]{2})")


def digits_left(text: str) -> str:
    """Return all digits that a reader could find by any decoding, in order."""
    for _ in range(3):
        text = unquote_plus(text)
    text = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), text)
    return "".join(str(unicodedata.digit(character)) for character in text if character.isdecimal())


def disguised(card: str) -> st.SearchStrategy[str]:
    """Draw a text with the number in any disguise."""
    return st.one_of(
        st.sampled_from(list(WRITINGS.values())).map(lambda write: write(card)),
        st.tuples(parts_of(card), st.sampled_from(list(SPLITS.values()))).map(lambda pair: pair[1](pair[0])),
    )


@st.composite
def disguised_cards(draw: st.DrawFn) -> tuple[str, str]:
    """Draw a number and a text that contains it."""
    card = draw(card_numbers())
    return card, draw(disguised(card))
