"""Fill the templates of this package: each is the file as it will be, with `@{name}` where answers go.

`${name}` and `{name}` are the target file's own, so they stay. A line that is one placeholder takes a block
of lines, and goes when the block is empty.
"""

import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import Final

import yaml

_BLOCK: Final = re.compile(r"^@\{([a-z_]+)\}\n", re.MULTILINE)
_PLACE: Final = re.compile(r"@\{([a-z_]+)\}")
_PLAIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


def fill(template: str, values: Mapping[str, str]) -> str:
    """Return the text of a template with its placeholders filled; raises KeyError for one without a value."""

    # The template alone is searched: what is filled in is not looked at again.
    text, *blocks = _BLOCK.split(_text(template))
    filled = [_fill_places(text, values)]
    for name, rest in zip(blocks[::2], blocks[1::2], strict=True):
        lines = values[name]
        filled += [f"{lines}\n" if lines else "", _fill_places(rest, values)]
    return "".join(filled)


def word(text: str) -> str:
    """Return an id as YAML reads it back: in quotes where a reader could take it for something else."""
    is_plain = _PLAIN.fullmatch(text) is not None and yaml.safe_load(text) == text
    return text if is_plain else quoted(text)


def quoted(text: str) -> str:
    """Return printable text in double quotes, as YAML and JSON both read it."""
    return json.dumps(text, ensure_ascii=False)


def words(texts: Iterable[str]) -> str:
    """Return ids as the items of a list on one line."""
    return ", ".join(word(text) for text in texts)


def _fill_places(text: str, values: Mapping[str, str]) -> str:
    return _PLACE.sub(lambda found: values[found[1]], text)


@cache
def _text(template: str) -> str:
    return (files(__package__) / "templates" / f"{template}.template").read_text(encoding="utf-8")
