"""Placeholders such as `{provider}` in a step, filled from the labels of the alert.

Only a bare name in braces is a placeholder; PromQL's `{provider="x"}` is not.
"""

import re
from collections.abc import Mapping
from typing import Final

from moneypath.errors import MoneypathError

_PLACEHOLDER: Final = re.compile(r"\{([a-z][a-z0-9_]*)\}")
# A value goes into a PromQL string, a URL path and an audit reason: nothing in it may end any of them.
_VALUE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:|-]{0,127}")


class PlaceholderUnfilled(MoneypathError):
    """A label that a step needs is missing from the alert, or has an unsafe value."""

    code = "placeholder_unfilled"


def names(text: str) -> frozenset[str]:
    """Return the placeholders in `text`."""
    return frozenset(_PLACEHOLDER.findall(text))


def fill(text: str, labels: Mapping[str, str]) -> str:
    """Return `text` with each placeholder replaced; raise PlaceholderUnfilled when one has no value."""
    return _PLACEHOLDER.sub(lambda match: _value(match[1], labels), text)


def _value(name: str, labels: Mapping[str, str]) -> str:
    value = labels.get(name)
    if value is None:
        known = ", ".join(sorted(labels)) or "none"
        raise PlaceholderUnfilled(
            f"placeholder without a value: {{{name}}}",
            hint=f"Run the runbook for an alert that has {name}; this one carries: {known}.",
        )
    if not _VALUE.fullmatch(value):
        raise PlaceholderUnfilled(
            f"label with an unsafe value: {name}",
            hint="Use at most 128 letters, digits and _ . : | -, beginning with a letter or digit.",
        )
    return value
