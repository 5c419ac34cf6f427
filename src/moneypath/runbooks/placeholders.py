"""`{provider}` in a step: filled from the labels of the alert that the runbook answers.

Only a bare name in braces is a placeholder, so PromQL's own `{provider="north"}` stays as it is.
"""

import re
from collections.abc import Mapping
from typing import Final

from moneypath.errors import MoneypathError

_PLACEHOLDER: Final = re.compile(r"\{([a-z][a-z0-9_]*)\}")
# A value goes into a PromQL string, a URL path and an audit reason: nothing in it may end any of them.
_VALUE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:|-]{0,127}")


class PlaceholderUnfilled(MoneypathError):
    """A step needs a label that the alert does not carry, or carries with an unsafe value."""

    code = "placeholder_unfilled"


def names(text: str) -> frozenset[str]:
    """Return the placeholders in `text`."""
    return frozenset(_PLACEHOLDER.findall(text))


def fill(text: str, labels: Mapping[str, str]) -> str:
    """Return `text` with each placeholder replaced; raise PlaceholderUnfilled when one cannot be."""
    return _PLACEHOLDER.sub(lambda match: _value(match[1], labels), text)


def _value(name: str, labels: Mapping[str, str]) -> str:
    value = labels.get(name)
    if value is None:
        known = ", ".join(sorted(labels)) or "none"
        raise PlaceholderUnfilled(
            f"placeholder without a value: {{{name}}}",
            hint=f"the alert carries these labels: {known}; run the runbook for an alert that has {name}",
        )
    if not _VALUE.fullmatch(value):
        raise PlaceholderUnfilled(
            f"label with an unsafe value: {name}",
            hint="allowed: letters, digits and _ . : | -, at most 128, beginning with a letter or digit",
        )
    return value
