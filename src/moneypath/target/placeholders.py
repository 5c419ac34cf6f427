"""Placeholders in a target's file: `${variable}` when it is loaded, `{argument}` when something is asked."""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Final, TypeAlias
from urllib.parse import quote

JsonValue: TypeAlias = "str | int | float | bool | list[JsonValue] | dict[str, JsonValue] | None"
Argument: TypeAlias = str | int | float | bool | list[str]

NAME: Final = r"[a-z][a-z0-9_]{0,39}"
_VARIABLE: Final = re.compile(rf"\$\{{({NAME})\}}")
_ARGUMENT: Final = re.compile(rf"(?<!\$)\{{({NAME})\}}")


def variables_in(value: JsonValue) -> Iterator[str]:
    """Yield the name of every `${variable}` in the texts of `value`."""
    for text in _texts(value):
        yield from _VARIABLE.findall(text)


def arguments_in(value: JsonValue) -> Iterator[str]:
    """Yield the name of every `{argument}` in the texts of `value`."""
    for text in _texts(value):
        yield from _ARGUMENT.findall(text)


def unknown_arguments(value: JsonValue, known: Collection[str]) -> list[str]:
    """Return the arguments in `value` that are not `known`, each once, in order."""
    return sorted(set(arguments_in(value)) - set(known))


def set_variables(value: JsonValue, variables: Mapping[str, str]) -> JsonValue:
    """Return `value` with every `${variable}` replaced; keys of mappings stay. Raises KeyError."""
    if isinstance(value, str):
        return _VARIABLE.sub(lambda found: variables[found[1]], value)
    if isinstance(value, list):
        return [set_variables(each, variables) for each in value]
    if isinstance(value, dict):
        return {key: set_variables(each, variables) for key, each in value.items()}
    return value


def set_places(value: JsonValue, values: Mapping[str, str]) -> JsonValue:
    """Return `value` with the values of a place put in; they come from the file, so nothing is quoted."""
    if isinstance(value, str):
        return _ARGUMENT.sub(lambda found: values.get(found[1], found[0]), value)
    if isinstance(value, list):
        return [set_places(each, values) for each in value]
    if isinstance(value, dict):
        return {key: set_places(each, values) for key, each in value.items()}
    return value


def fill(value: JsonValue, arguments: Mapping[str, Argument]) -> JsonValue:
    """Return `value` with every `{argument}` replaced; raises KeyError.

    A text that is one placeholder and nothing else becomes the argument itself, so a number stays a number;
    a key of a mapping whose value is a placeholder without a value is left out.
    """
    if isinstance(value, str):
        whole = _ARGUMENT.fullmatch(value)
        if whole:
            given = arguments[whole[1]]
            return list(given) if isinstance(given, list) else given
        return _ARGUMENT.sub(lambda found: as_text(arguments[found[1]]), value)
    if isinstance(value, list):
        return [fill(each, arguments) for each in value]
    if isinstance(value, dict):
        return {key: fill(each, arguments) for key, each in value.items() if _has_value(each, arguments)}
    return value


def _has_value(value: JsonValue, arguments: Mapping[str, Argument]) -> bool:
    whole = _ARGUMENT.fullmatch(value) if isinstance(value, str) else None
    return whole is None or whole[1] in arguments


def fill_url(url: str, arguments: Mapping[str, Argument]) -> str:
    """Return `url` with every `{argument}` replaced and quoted, so that none leaves its place.

    Raises ValueError for one that means a folder, or nothing, and KeyError.
    """
    return _ARGUMENT.sub(lambda found: _quoted(found[1], as_text(arguments[found[1]])), url)


def _quoted(name: str, text: str) -> str:
    if text in ("", ".", ".."):
        raise ValueError(f"{name} is {text!r}, which is no part of an address")
    return quote(text, safe="", errors="replace")


def as_text(argument: Argument) -> str:
    """Return an argument as it stands in a text: `true`, `0.5`, and a list joined by commas."""
    if isinstance(argument, bool):
        return str(argument).lower()
    if isinstance(argument, list):
        return ",".join(argument)
    if isinstance(argument, float) and argument.is_integer():
        return str(int(argument))
    return str(argument)


def _texts(value: JsonValue) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
