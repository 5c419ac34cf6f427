"""Finds credentials: the value after a name such as `password`, and tokens of a known form."""

import re
from collections.abc import Iterator
from functools import lru_cache

from moneypath.telemetry.redaction.masking import SECRET_MASK, MaskedRange

# All name patterns are for lower-case text. Each begins with a fixed letter, so that the search can jump to
# the next occurrence of such a letter.
_SUFFIX = "[a-z0-9_.-]{0,40}"
_WORDS = ("password", "passwd", "passphrase", "pwd", "secret", "token", "credential")
_KEYS = ("api", "private", "access", "signing", "encryption", "master", "session")
# Words before `key` that make it an identifier and not a credential.
_HARMLESS_KEYS = "".join(
    f"(?<!{word}[_-])"
    for word in ("idempotency", "provider", "group", "primary", "foreign", "partition", "routing")
)
_ALONE = {"p": "(?:an|in(?:[ _-]?(?:block|code))?)", "c": "sc", "o": "tp", "i": "ban"}
_NAMES = (
    *(f"{word}{_SUFFIX}" for word in _WORDS),
    *(f"{word}[ _-]?key" for word in _KEYS),
    *(f"{dash}{_HARMLESS_KEYS}key" for dash in "_-"),
    "session[ _-]?id",
    "authorization",
    "cookie",
    "cvv2?",
    "cvc2?",
    "cvn2?",
    "card[ _-]?number",
    "security[ _-]?(?:code|value)",
    "verification[ _-]?(?:code|value)",
    "track[ _-]?(?:[123]|data)(?:[ _-]?data)?",
    "magnetic[ _-]?stripe",
    *(f"{first}(?<![a-z]{first}){rest}" for first, rest in _ALONE.items()),
)
_NAME = "|".join(_NAMES)
_WORD = r"[^\s,;&\"'<>(){}]"
_COOKIE = rf"(?:(?!=){_WORD})+={_WORD}*"
_PARAMETER = r"[^\s,=]+=[^\s,]+"
_VALUE = (
    r"(?P<escaped>\\{1,3}[\"'])(?:(?!\\{1,3}[\"']).)*(?P<escaped_end>\\{1,3}[\"'])?"
    r"|\"(?:\\.|[^\"\\])*\"?"
    r"|'(?:\\.|[^'\\])*'?"
    # Credentials that are lists: the parameters of some schemes, and cookies.
    rf"|(?:digest|hawk|oauth|signature|aws4-hmac-sha256)[ \t]{{1,8}}{_PARAMETER}"
    rf"(?:,[ \t]{{0,8}}{_PARAMETER})*"
    rf"|{_COOKIE}(?:;[ ]?{_COOKIE})+"
    rf"|(?:(?:bearer|basic|digest|token|negotiate)[ \t]{{1,8}})?{_WORD}+"
)
_DELIMITER = r"[\s,;&\"'<>(){}\\]|\Z"
_MASKED = rf"(?!b?\\{{0,3}}[\"']?\[(?:secret|card|account)\](?:{_DELIMITER}))"
_PAIR = re.compile(
    rf"(?:{_NAME})"
    r"\\{0,3}[\"']?\s{0,8}(?:=>|[:=]|%3[ad]|(?<=[\"'\s]),)\s{0,8}"
    rf"{_MASKED}(?:b(?=[\"']))?(?P<value>{_VALUE})",
    re.DOTALL,
)
_NAME_END = re.compile(rf"(?:{_NAME})\Z")

_PEM = re.compile(
    r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|\Z)", re.DOTALL
)
_BEARER = re.compile(r"bearer(?<![0-9a-z_]bearer)[ \t]{1,8}(?!\[secret\])(?P<value>[a-z0-9._~+/=-]+)")
_USERINFO = re.compile(r"://[^\s:/@\"']{0,128}:(?!\[secret\]@)(?P<value>[^\s/@]{1,256})@")
# Every alternative begins with a fixed letter, so that the search can jump between these letters.
_SHAPES = re.compile(
    r"eyJ(?<![0-9A-Za-z_]eyJ)[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]+)+"  # JSON web token
    r"|[srp]k_(?:live|test)_[A-Za-z0-9_]{8,}|whsec_[A-Za-z0-9+/=_-]{8,}"  # Stripe
    r"|gh[pousr]_[A-Za-z0-9]{16,}|github_pat_[A-Za-z0-9_]{16,}|glpat-[A-Za-z0-9_-]{16,}"  # GitHub, GitLab
    r"|xox[abeoprs]-[A-Za-z0-9-]{8,}|xapp-[A-Za-z0-9-]{8,}"  # Slack
    r"|A(?:KIA|SIA)(?<![0-9A-Za-z]....)[0-9A-Z]{16}(?![0-9A-Za-z])"  # Amazon Web Services
    r"|AIza[A-Za-z0-9_-]{30,}|ya29\.[A-Za-z0-9_-]{16,}"  # Google
    r"|sq0(?:atp|csp|idp)-[A-Za-z0-9_-]{16,}|shp(?:at|ca|pa|ss)_[A-Fa-f0-9]{16,}"  # Square, Shopify
    r"|access_token\$(?:production|sandbox)\$[a-z0-9$]{16,}"  # Braintree
    r"|S(?<![0-9A-Za-z]S)G\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}"  # SendGrid
    r"|s(?<![0-9A-Za-z]s)k-[A-Za-z0-9_-]{20,}"  # OpenAI and those who followed
    r"|npm_[A-Za-z0-9]{30,}|pypi-[A-Za-z0-9_-]{30,}|dop_v1_[a-f0-9]{30,}|hvs\.[A-Za-z0-9_-]{20,}"
)


# Each name and token contains one of these. In a short text the search itself is faster.
_NAME_HINTS = (
    "pass",
    "pwd",
    "secret",
    "token",
    "credential",
    "key",
    "session",
    "authorization",
    "cookie",
    "cv",
    "card",
    "code",
    "value",
    "track",
    "stripe",
    "pan",
    "pin",
    "csc",
    "otp",
    "iban",
)
_SHAPE_HINTS = (
    "eyJ",
    "k_live_",
    "k_test_",
    "whsec_",
    "gh",
    "github_pat_",
    "glpat-",
    "xox",
    "xapp-",
    "AKIA",
    "ASIA",
    "AIza",
    "ya29.",
    "sq0",
    "shp",
    "access_token$",
    "SG.",
    "sk-",
    "npm_",
    "pypi-",
    "dop_v1_",
    "hvs.",
)
_LONG = 200


def _lacks(text: str, hints: tuple[str, ...]) -> bool:
    return len(text) > _LONG and not any(hint in text for hint in hints)


def is_secret_name(name: str) -> bool:
    """Return whether a field of this name holds a credential, whatever its value looks like."""
    return _is_secret_name(name) if len(name) <= _REMEMBERED_LENGTH else _ends_as_secret(name)


# There are few field names, and they repeat in every event.
_REMEMBERED_LENGTH = 64


@lru_cache(maxsize=2048)
def _is_secret_name(name: str) -> bool:
    return _ends_as_secret(name)


def _ends_as_secret(name: str) -> bool:
    return _NAME_END.search(_lowered(name)) is not None


def _lowered(text: str) -> str:
    """Return the text in lower case with the same length; one capital would become two characters."""
    return text.lower() if text.isascii() else text.replace("\u0130", "i").lower()


def find_keys(text: str) -> Iterator[MaskedRange]:
    """Find blocks of private keys."""
    if "-----BEGIN" in text:
        for match in _PEM.finditer(text):
            yield MaskedRange(*match.span(), SECRET_MASK)


def find_named(text: str) -> Iterator[MaskedRange]:
    """Find the values of names that hold credentials in headers, pairs and JSON, also in a JSON string."""
    if not (":" in text or "=" in text or "," in text or "%3" in text):
        return
    lowered = _lowered(text)
    if _lacks(lowered, _NAME_HINTS):
        return
    for match in _PAIR.finditer(lowered):
        start, end = match.span("value")
        value = match["value"]
        opening = match["escaped"] or (value[0] if value[0] in "\"'" else "")
        closing = match["escaped_end"] or (opening if len(value) > 1 and value.endswith(opening) else "")
        yield MaskedRange(start + len(opening), end - len(closing), SECRET_MASK)


def find_bearers(text: str) -> Iterator[MaskedRange]:
    """Find the token after the word bearer."""
    lowered = _lowered(text)
    if "bearer" in lowered:
        for match in _BEARER.finditer(lowered):
            yield MaskedRange(*match.span("value"), SECRET_MASK)


def find_shapes(text: str) -> Iterator[MaskedRange]:
    """Find tokens by the prefix that their issuer gives them."""
    if _lacks(text, _SHAPE_HINTS):
        return
    for match in _SHAPES.finditer(text):
        yield MaskedRange(*match.span(), SECRET_MASK)


def find_userinfo(text: str) -> Iterator[MaskedRange]:
    """Find passwords in URLs."""
    if "://" in text:
        for match in _USERINFO.finditer(text):
            yield MaskedRange(*match.span("value"), SECRET_MASK)
