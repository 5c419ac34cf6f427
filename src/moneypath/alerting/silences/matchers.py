"""Match silences against alerts as Alertmanager does, for alerts whose labels may take several values."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Protocol, TypeAlias

import re2

LabelValues: TypeAlias = Mapping[str, tuple[str, ...]]
"""The labels of an alert, each with every value that it may have; a label that is not there is empty."""

_MISSING: Final = ("",)
_PATTERNS_KEPT: Final = 4096


class _Pattern(Protocol):
    def fullmatch(self, text: str) -> object | None: ...


@dataclass(frozen=True, slots=True)
class Matcher:
    """One matcher of a silence: `=`, `!=`, `=~` or `!~`. Regular expressions match the whole value."""

    label: str
    value: str
    is_regex: bool = False
    is_equal: bool = True

    def accepts(self, value: str) -> bool:
        """Tell whether a label of this value meets the matcher.

        What Alertmanager accepted and we cannot read is taken to match, whichever way it is asked.
        """
        if not self.is_regex:
            return (value == self.value) == self.is_equal
        pattern = _compiled(self.value)
        return pattern is None or (pattern.fullmatch(value) is not None) == self.is_equal


def can_mute(matchers: Sequence[Matcher], labels: LabelValues) -> bool:
    """Tell whether a silence mutes at least one instance of an alert."""
    by_label: dict[str, list[Matcher]] = {}
    for matcher in matchers:
        by_label.setdefault(matcher.label, []).append(matcher)
    # Labels vary independently, so there is such an instance if each label has a value that suits.
    return all(_has_value(asked, labels.get(label, _MISSING)) for label, asked in by_label.items())


def _has_value(matchers: Sequence[Matcher], values: Collection[str]) -> bool:
    return any(all(matcher.accepts(value) for matcher in matchers) for value in values)


@lru_cache(maxsize=_PATTERNS_KEPT)
def _compiled(text: str) -> _Pattern | None:
    options = re2.Options()
    options.log_errors = False
    try:
        pattern: _Pattern = re2.compile(text, options)
    except re2.error:
        return None
    return pattern
