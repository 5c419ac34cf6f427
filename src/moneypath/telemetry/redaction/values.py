"""Redacts dicts and lists of values, such as events and payloads."""

from collections.abc import Iterator, Mapping, MutableMapping, MutableSequence
from typing import Any, TypeAlias

from moneypath.telemetry.redaction.fields import Part, joined
from moneypath.telemetry.redaction.issuers import LONGEST_CARD
from moneypath.telemetry.redaction.masking import CARD_MASK, SECRET_MASK
from moneypath.telemetry.redaction.redact import redact
from moneypath.telemetry.redaction.secrets import is_secret_name

Container: TypeAlias = "MutableMapping[Any, Any] | MutableSequence[Any]"
_SEPARATORS = str.maketrans("", "", " -")


def redact_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of JSON-like values with every name and value redacted, at any depth."""
    copy = _redact_mapping(values)
    mask_split_cards(copy)
    return copy


def _redact_mapping(values: Mapping[Any, Any]) -> dict[str, Any]:
    return {
        redact(str(name)): SECRET_MASK
        if isinstance(value, str) and is_secret_name(str(name))
        else _redact_value(value)
        for name, value in values.items()
    }


def _redact_value(value: Any) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return _redact_mapping(value)
    if isinstance(value, list | tuple):
        return [_redact_value(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool):
        masked = redact(str(value))
        return value if masked == str(value) else masked
    return value


def mask_split_cards(container: Container) -> None:
    """Mask, in place, card numbers whose digits are in neighbouring values of nested dicts and lists."""
    chain: list[Part] = []
    places: list[tuple[Container, Any]] = []
    for place, digits, named in _leaves(container):
        if digits:
            chain.append(Part(digits, named))
            places.append((place[0], place[1]))
        elif chain:
            _mask(chain, places)
            chain, places = [], []
    _mask(chain, places)


def _mask(chain: list[Part], places: list[tuple[Container, Any]]) -> None:
    for first, last in list(joined(chain)):
        for owner, key in places[first:last]:
            owner[key] = CARD_MASK


def _leaves(container: Container) -> Iterator[tuple[tuple[Container, Any], str, bool]]:
    """Yield every value that is not a container, in order, with its digits."""
    named = isinstance(container, MutableMapping)
    items = container.items() if isinstance(container, MutableMapping) else enumerate(container)
    for key, value in items:
        if isinstance(value, MutableMapping | MutableSequence):
            yield from _leaves(value)
        else:
            yield (container, key), _digits(value), named


def _digits(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | str):
        return ""
    text = str(value)
    if len(text) > 2 * LONGEST_CARD or not text[:1].isdigit():
        return ""
    text = text.translate(_SEPARATORS)
    return text if text.isascii() and text.isdigit() and len(text) <= LONGEST_CARD else ""
