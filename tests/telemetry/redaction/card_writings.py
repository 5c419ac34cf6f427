"""Card numbers as people and programs write them, drawn with a seed."""

import json
import random
import unicodedata
from collections.abc import Iterator
from urllib.parse import quote

from .card_numbers import KINDS, check_digit

SEED = 20261124
SCRIPTS = (
    "0123456789",
    "０１２３４５６７８９",
    "٠١٢٣٤٥٦٧٨٩",
    "۰۱۲۳۴۵۶۷۸۹",
    "०१२३४५६७८९",
    "⁰¹²³⁴⁵⁶⁷⁸⁹",
    "₀₁₂₃₄₅₆₇₈₉",
    "⓪①②③④⑤⑥⑦⑧⑨",
    "𝟎𝟏𝟐𝟑𝟒𝟓𝟔𝟕𝟖𝟗",
)
# Blanks and dashes, up to three; and signs, which need groups of three digits.
BLANKS = (" ", "-", "--", " - ", "+", "\u00a0", "\u2009", "\u202f", "\u2010", "\u2013", "\u2212")
SIGNS = (".", "_", "/", ":", "\uff0e", "\uff1a", "\uff3f")
INVISIBLE = (
    *("\u00ad", "\u034f", "\u061c", "\u180e", "\u200b", "\u200c", "\u200d", "\u200e", "\u200f", "\u202a"),
    *("\u202c", "\u202e", "\u2060", "\u2063", "\u2066", "\u2069", "\ufe0e", "\ufe0f", "\ufeff", "\U000e0020"),
)
BEFORE = ("", "", "order", "k", "ord_", "ref:", "ID ", "PAN=", "é", "x-", "(", "#")
AFTER = ("", "", " 12/27", "/12", ":1227", "abc", "_v2", " exp 1227", ")", "\u200b", "é")


def card_number(draw: random.Random) -> str:
    """Return a card number of any issuer and length."""
    issuer, length = draw.choice(KINDS)
    prefix = str(draw.randint(issuer.first, issuer.last))
    missing = length - 1 - len(prefix)
    body = prefix + "".join(draw.choices("0123456789", k=missing))
    return body + check_digit(body)


def groups_of(digits: str, draw: random.Random, *, least: int) -> list[str]:
    """Return the digits in groups, as cards print them or of any size."""
    size = draw.choice((4, 4, 4, 6, 5, 3, 0))
    if size:
        groups = [digits[start : start + size] for start in range(0, len(digits), size)]
    else:
        groups, left = [], digits
        while left:
            taken = draw.randint(least, max(least, len(left)))
            groups.append(left[:taken])
            left = left[taken:]
    return groups


def writing(draw: random.Random) -> tuple[str, str]:
    """Return a card number and one writing of it."""
    card = card_number(draw)
    text = card
    kind = draw.randrange(3)
    if kind == 1:
        text = draw.choice(BLANKS).join(groups_of(card, draw, least=1))
    elif kind == 2:
        groups = groups_of(card, draw, least=3)
        # Only the last group may be shorter, and one dot alone is a decimal point.
        if len(groups) > 2:
            text = draw.choice(SIGNS).join(groups)
    script = draw.choice(SCRIPTS) if draw.random() < 0.4 else SCRIPTS[0]
    text = "".join(script[int(sign)] if sign in SCRIPTS[0] else sign for sign in text)
    if draw.random() < 0.3:
        hidden = draw.choice(INVISIBLE)
        places = {draw.randrange(1, len(text)) for _ in range(draw.randint(1, 6))}
        text = "".join(hidden * (place in places) + sign for place, sign in enumerate(text))
    text = draw.choice(BEFORE) + text + draw.choice(AFTER)
    return card, text


def encoded(text: str, draw: random.Random) -> str:
    """Return a text as it stands in an address or in JSON, once or twice encoded."""
    kind = draw.randrange(5)
    if kind == 0:
        return quote(text)
    if kind == 1:
        return quote(quote(text))
    if kind == 2:
        return json.dumps(text)
    if kind == 3:
        return json.dumps(json.dumps(text))
    return text


def writings(count: int, seed: int = SEED) -> Iterator[tuple[str, str]]:
    """Yield card numbers with a writing of each, not encoded."""
    draw = random.Random(seed)  # noqa: S311 - drawn again alike
    for _ in range(count):
        yield writing(draw)


def readable_digits(text: str) -> str:
    """Return the digits that a reader of the text sees, in whatever script."""
    return "".join(str(unicodedata.digit(sign)) for sign in text if unicodedata.digit(sign, None) is not None)
