"""Tell early that a query file does not hold one SELECT. What keeps a query from writing is the server."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from moneypath.checks.errors import QueryUnusable

QUERY_BYTES_MAX: Final = 64 * 1024
BEGINNINGS: Final = ("select", "with", "values", "table")
_HINT: Final = (
    "Write one SELECT with the columns subject, amount_minor, currency, since; each row is a violation."
)
# In this order: what begins like one of these is not looked into.
_TOKEN: Final = re.compile(
    r"""
    (?P<comment>--[^\n]*)
    | (?P<nested>/\*)
    | (?P<text>[eE]'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*' | "(?:[^"]|"")*"
        | (?P<tag>\$(?:[^\W\d]\w*)?\$).*?(?P=tag))
    | (?P<unclosed>'|"|\$(?:[^\W\d]\w*)?\$)
    | (?P<parameter>\$\d+)
    | (?P<word>[^\W\d][\w$]*)
    | (?P<end>;)
    | (?P<other>\S)
    """,
    re.VERBOSE | re.DOTALL,
)


def read_query(file: Path) -> str:
    """Return the statement in a file; raises QueryUnusable if it is not one SELECT."""
    try:
        with file.open("rb") as stream:
            content = stream.read(QUERY_BYTES_MAX + 1)
    except OSError as error:
        raise QueryUnusable(f"The query cannot be read: {file} ({error.strerror}).", hint=_HINT) from error
    if len(content) > QUERY_BYTES_MAX:
        raise QueryUnusable(f"{file} has more than {QUERY_BYTES_MAX} bytes.", hint=_HINT)
    try:
        return one_select(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise QueryUnusable(f"{file} is not UTF-8.", hint=_HINT) from error
    except ValueError as problem:
        raise QueryUnusable(f"{file} does not hold one SELECT: {problem}.", hint=_HINT) from None


def one_select(text: str) -> str:
    """Return a statement without its semicolon; raises ValueError if it is not one SELECT.

    A WITH may still hold an INSERT: the transaction is read-only, and the server refuses it.
    """
    if "\0" in text:
        raise ValueError("it holds a NUL")
    tokens = list(_tokens(text))
    first = next((word.lower() for kind, word, _ in tokens if word != "("), "")
    if first not in BEGINNINGS:
        raise ValueError(f"it begins with {first[:20] or 'nothing'}, not with {', '.join(BEGINNINGS)}")
    depth, ended_at = 0, None
    for kind, word, at in tokens:
        if kind == "parameter":
            raise ValueError(f"it takes a parameter, {word[:20]}")
        if ended_at is not None and kind != "end":
            raise ValueError("a second statement follows the semicolon")
        if kind == "end" and ended_at is None:
            ended_at = at
        depth += (word == "(") - (word == ")")
        if depth < 0:
            break
    if depth:
        raise ValueError("its parentheses do not match")
    return text[:ended_at].strip()


def _tokens(text: str) -> Iterator[tuple[str, str, int]]:
    """Yield kind, text and place of what is neither a comment nor white space."""
    at = 0
    while found := _TOKEN.search(text, at):
        kind, at = found.lastgroup or "", found.end()
        kind = "text" if kind == "tag" else kind
        if kind == "nested":
            at = _after_comment(text, at)
        elif kind == "unclosed":
            raise ValueError(f"{found[0]} is not closed")
        elif kind != "comment":
            yield kind, found[0], found.start()


def _after_comment(text: str, at: int) -> int:
    depth = 1
    for mark in re.finditer(r"/\*|\*/", text[at:]):
        depth += 1 if mark[0] == "/*" else -1
        if depth == 0:
            return at + mark.end()
    raise ValueError("a comment is not closed")
