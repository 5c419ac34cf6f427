"""Keeping card numbers and credentials out of logs and errors.

Masking errs on the side of taking too much: a lost word costs a minute, a leaked card number a
disclosure. What it must leave alone, or logs become useless: order ids, timestamps, UUIDs, hashes.
"""

import re
from functools import lru_cache
from itertools import accumulate

CARD_MASK = "[card]"
SECRET_MASK = "[secret]"  # noqa: S105 - the mask, not a secret

SHORTEST_CARD = 12

# (first prefix, last prefix, lengths): ISO/IEC 7812 issuer ranges as the networks publish them. Maestro's
# are named one by one: its whole range and its lengths from 12 would take one number in a hundred.
_ISSUERS: tuple[tuple[int, int, range | tuple[int, ...]], ...] = (
    (4, 4, (13, 16, 19)),  # Visa
    (51, 55, (16,)),  # Mastercard
    (2221, 2720, (16,)),  # Mastercard
    (34, 34, (15,)),  # American Express
    (37, 37, (15,)),
    (300, 305, range(14, 20)),  # Diners Club
    (3095, 3095, range(14, 20)),
    (36, 36, range(14, 20)),
    (38, 39, range(14, 20)),
    (3528, 3589, range(16, 20)),  # JCB
    (6011, 6011, range(16, 20)),  # Discover
    (644, 649, range(16, 20)),
    (65, 65, range(16, 20)),
    (62, 62, range(16, 20)),  # UnionPay
    (81, 81, range(16, 20)),
    (2200, 2204, range(16, 20)),  # Mir
    (60, 60, (16,)),  # RuPay
    (508, 508, (16,)),
    (5018, 5018, range(12, 20)),  # Maestro
    (5020, 5020, range(12, 20)),
    (5038, 5038, range(12, 20)),
    (5893, 5893, range(12, 20)),
    (6304, 6304, range(12, 20)),
    (6759, 6759, range(12, 20)),
    (6761, 6763, range(12, 20)),
)

_DOUBLED = str.maketrans("0123456789", "0246813579")

# Left alternatives win and are kept: a UUID, and hashes in hexadecimal at their usual lengths.
_NUMBERS = re.compile(
    r"(?P<uuid>(?<![0-9A-Za-z])[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}(?![0-9A-Za-z]))"
    r"|(?P<hash>(?<![0-9A-Za-z])(?![0-9]+(?![0-9A-Za-z]))"
    r"(?:[0-9A-Fa-f]{128}|[0-9A-Fa-f]{64}|[0-9A-Fa-f]{40}|[0-9A-Fa-f]{32})(?![0-9A-Za-z]))"
    r"|(?P<run>[0-9]+(?:[ \u00a0\u2010-\u2015-][0-9]+)*)"
)
_GROUP = re.compile(r"[0-9]+")
# What no card number lacks: most texts are done with after this one look.
_CANDIDATE = re.compile(r"[0-9](?:[ \u00a0\u2010-\u2015-]?[0-9]){11}")

# Keys by which an operation is known, not opened.
_HARMLESS_KEYS = "".join(
    f"(?<!{word})"
    for word in ("idempotency", "provider", "group", "primary", "foreign", "partition", "routing")
)
_NAME = (
    r"(?:(?:password|passwd|passphrase|pwd|secret|token|credential)[A-Za-z0-9_.-]{0,40}"
    r"|(?:api|private|access|signing|encryption|master)[ _-]?key"
    rf"|{_HARMLESS_KEYS}[_-]key"
    r"|(?:proxy-)?authorization|(?:set-)?cookie"
    r"|(?<![A-Za-z])(?:pan|cvv2?|cvc2?|card[ _-]?number|security[ _-]?code))"
)
_VALUE = (
    r"(?P<escaped>\\{1,3}[\"'])(?:(?!\\{1,3}[\"']).)*(?P<escaped_end>\\{1,3}[\"'])?"
    r"|\"(?:\\.|[^\"\\])*\"?"
    r"|'(?:\\.|[^'\\])*'?"
    r"|(?:(?:bearer|basic|digest|token)[ \t]{1,8})?[^\s,;&\"'<>(){}]+"
)
_DELIMITER = r"[\s,;&\"'<>(){}\\]|\Z"
_MASKED = rf"(?!b?\\{{0,3}}[\"']?\[(?:secret|card)\](?:{_DELIMITER}))"
_PAIR = re.compile(
    rf"(?P<name>{_NAME})"
    r"(?P<between>\\{0,3}[\"']?\s{0,8}(?:=>|[:=]|%3[AaDd]|(?<=[\"'\s]),)\s{0,8})"
    rf"{_MASKED}(?P<prefix>b(?=[\"']))?(?P<value>{_VALUE})",
    re.IGNORECASE | re.DOTALL,
)
_NAME_HINTS = (
    *("pass", "pwd", "secret", "token", "credential", "key", "authorization", "cookie"),
    *("pan", "cv", "card", "code"),
)
_NAME_END = re.compile(rf"{_NAME}\Z", re.IGNORECASE)
_BEARER = re.compile(r"\b(bearer[ \t]{1,8})(?!\[secret\])[A-Za-z0-9._~+/=-]+", re.IGNORECASE)
_JWT = re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?")
_USERINFO = re.compile(r"(://[^\s:/@\"']{0,128}):(?!\[secret\]@)[^\s/@]{1,256}@")
_PEM = re.compile(
    r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|\Z)", re.S
)


def redact(text: str) -> str:
    """Mask card numbers (plain, dashed, spaced) and the values of credentials; the rest is unchanged.

    Redacting twice changes nothing more. Takes time linear in the text's length.
    """
    # Cards come first: a spaced one behind `password=` would otherwise lose its first group only.
    if _CANDIDATE.search(text):
        text = _NUMBERS.sub(_mask_cards, text)
    lowered = text.lower()
    if any(hint in lowered for hint in _NAME_HINTS):
        text = _PAIR.sub(_mask_value, _PEM.sub(SECRET_MASK, text))
    text = _BEARER.sub(rf"\1{SECRET_MASK}", text)
    text = _JWT.sub(SECRET_MASK, text)
    return _USERINFO.sub(rf"\1:{SECRET_MASK}@", text)


def is_secret_name(name: str) -> bool:
    """Tell whether a field of this name holds a credential, whatever its value looks like."""
    return _NAME_END.search(name) is not None


def is_card_number(digits: str) -> bool:
    """Tell whether digits have the length, the issuer prefix and the check digit of a card number."""
    return len(digits) in _lengths(digits[:4]) and _is_luhn_valid(digits)


@lru_cache(maxsize=1024)
def _lengths(prefix: str) -> tuple[int, ...]:
    """Return the lengths that card numbers beginning with these four digits have, the longest first."""
    if len(prefix) < 4:
        return ()
    lengths: set[int] = set()
    for low, high, issued in _ISSUERS:
        if low <= int(prefix[: len(str(low))]) <= high:
            lengths.update(issued)
    return tuple(sorted(lengths, reverse=True))


def _is_luhn_valid(digits: str) -> bool:
    # Every second digit from the right is doubled and its digits are summed: 5 becomes 10, becomes 1.
    plain, doubled = digits[::-2], digits[-2::-2].translate(_DOUBLED)
    return (sum(map(int, plain)) + sum(map(int, doubled))) % 10 == 0


def _mask_cards(match: re.Match[str]) -> str:
    run = match.group("run")
    if run is None or len(run) < SHORTEST_CARD:
        return match.group()
    groups = list(_GROUP.finditer(run))
    digits = "".join(group.group() for group in groups)
    offsets = [0, *accumulate(len(group.group()) for group in groups)]
    group_ending_at = {offset: index for index, offset in enumerate(offsets[1:])}
    # The digits of a fraction, as in 0.4111111111111111, are no card number.
    first = 1 if re.search(r"[0-9]\.\Z", match.string[max(0, match.start() - 2) : match.start()]) else 0
    masked: list[str] = []
    done = 0
    while first < len(groups):
        start = offsets[first]
        last = next(
            (
                group_ending_at[start + length]
                for length in _lengths(digits[start : start + 4])
                if start + length in group_ending_at and _is_luhn_valid(digits[start : start + length])
            ),
            None,
        )
        if last is None:
            first += 1
            continue
        masked += [run[done : groups[first].start()], CARD_MASK]
        done = groups[last].end()
        first = last + 1
    return "".join([*masked, run[done:]])


def _mask_value(match: re.Match[str]) -> str:
    value = match.group("value")
    opening = match.group("escaped") or (value[0] if value[0] in "\"'" else "")
    closing = match.group("escaped_end") or (opening if len(value) > 1 and value.endswith(opening) else "")
    before = f"{match.group('name')}{match.group('between')}{match.group('prefix') or ''}"
    return f"{before}{opening}{SECRET_MASK}{closing}"
