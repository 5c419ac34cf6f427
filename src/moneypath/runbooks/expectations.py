"""The grammar of `expect`: what the samples of a query, or the answer of an operator action, have to be.

A query has exactly one of `value`, `all`, `any` (a comparison such as ">= 0.0144"), `empty: true` and
`recorded: true`. With `for` and `evidence` the answer has to stay so: see `holding`. An operator action has
one or more `field: value`, compared by equality and type.
"""

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, TypeAlias

from moneypath.path.source import DeclarationIssue, DeclarationIssues
from moneypath.prometheus import Sample
from moneypath.runbooks.holding import HOLD_KEYS, Declared, Hold, Scalar, parse_hold
from moneypath.runbooks.placeholders import fill, names

_OPERATORS: Final[dict[str, Callable[[float, float], bool]]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}
_COMPARISON: Final = re.compile(r"(>=|<=|==|!=|>|<) *(-?\d{1,15}(?:\.\d{1,12})?)")
_FIELD: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_COMPARISONS: Final = f"{', '.join(_OPERATORS)} and a number, as in '>= 0.0144'"
_SHOWN_SAMPLES: Final = 5
_SHOWN_CHARACTERS: Final = 200


class Quantifier(StrEnum):
    """What a query's samples have to satisfy."""

    VALUE = "value"  # exactly one sample, and it compares
    ALL = "all"  # at least one sample, and every one compares
    ANY = "any"  # at least one sample compares
    EMPTY = "empty"  # no sample at all
    RECORDED = "recorded"  # any answer; it is kept as evidence, and no sample is said, not read as zero


@dataclass(frozen=True, slots=True)
class ExpectationResult:
    """Whether an expectation is satisfied, and what was seen, in words."""

    satisfied: bool
    seen: str


@dataclass(frozen=True, slots=True)
class QueryExpectation:
    """What a query has to return; `symbol` and `number` belong to the three comparisons.

    With a `hold` one answer is not enough: it has to stay so, on enough events.
    """

    quantifier: Quantifier
    symbol: str = ""
    number: float = 0.0
    hold: Hold | None = None

    def __str__(self) -> str:
        return f"{self._once} {self.hold}" if self.hold else self._once

    def filled(self, labels: Mapping[str, str]) -> "QueryExpectation":
        """Return the expectation with the placeholders of its evidence replaced."""
        return replace(self, hold=self.hold.filled(labels)) if self.hold else self

    def placeholders(self) -> frozenset[str]:
        """Return the placeholders that the evidence holds."""
        return self.hold.placeholders() if self.hold else frozenset()

    @property
    def _once(self) -> str:
        comparison = f"{self.symbol} {self.number:g}"
        match self.quantifier:
            case Quantifier.VALUE:
                return comparison
            case Quantifier.ALL | Quantifier.ANY:
                return f"{self.quantifier} {comparison}"
            case Quantifier.EMPTY:
                return "no sample"
            case Quantifier.RECORDED:
                return "recorded as evidence"

    def evaluate(self, samples: Sequence[Sample]) -> ExpectationResult:
        """Compare the samples; NaN satisfies no comparison, `!=` included."""
        return ExpectationResult(self._holds(samples), show_samples(samples))

    def _holds(self, samples: Sequence[Sample]) -> bool:
        compared = [self._compares(sample.value) for sample in samples]
        match self.quantifier:
            case Quantifier.VALUE:
                return len(compared) == 1 and compared[0]
            case Quantifier.ALL:
                return bool(compared) and all(compared)
            case Quantifier.ANY:
                return any(compared)
            case Quantifier.EMPTY:
                return not compared
            case Quantifier.RECORDED:
                return True

    def _compares(self, value: float) -> bool:
        if self.quantifier in {Quantifier.EMPTY, Quantifier.RECORDED} or math.isnan(value):
            return False
        return _OPERATORS[self.symbol](value, self.number)


@dataclass(frozen=True, slots=True)
class ActionExpectation:
    """Which fields an operator action's answer has to carry; text may hold placeholders."""

    fields: tuple[tuple[str, Scalar], ...]

    def __str__(self) -> str:
        return ", ".join(f"{name}={_scalar(value)}" for name, value in self.fields)

    def filled(self, labels: Mapping[str, str]) -> "ActionExpectation":
        """Return the expectation with placeholders replaced."""
        return ActionExpectation(
            tuple((name, fill(v, labels) if isinstance(v, str) else v) for name, v in self.fields)
        )

    def placeholders(self) -> frozenset[str]:
        """Return the placeholders that the expected values hold."""
        return frozenset().union(*(names(v) for _, v in self.fields if isinstance(v, str)))

    def evaluate(self, answer: Mapping[str, object]) -> ExpectationResult:
        """Compare by equality and type, so that 1 is not true; a missing field is not equal."""
        equal = (
            name in answer and type(answer[name]) is type(value) and answer[name] == value
            for name, value in self.fields
        )
        seen = ", ".join(
            f"{name}={_scalar(answer[name])}" if name in answer else f"{name} is missing"
            for name, _ in self.fields
        )
        return ExpectationResult(all(equal), _short(seen))


Expectation: TypeAlias = "QueryExpectation | ActionExpectation"


def query_expectation(declared: Mapping[str, Declared]) -> QueryExpectation:
    """Return the parsed `expect` of a query; raise DeclarationIssues for anything outside the grammar."""
    once = {name: value for name, value in declared.items() if name not in HOLD_KEYS}
    expectation = _one_answer(once)
    hold = parse_hold({name: value for name, value in declared.items() if name in HOLD_KEYS})
    if hold and expectation.quantifier is Quantifier.RECORDED:
        what = "stands with what is only recorded, which any answer satisfies"
        raise DeclarationIssues([DeclarationIssue(("expect", "for"), what, "a comparison, or empty: true")])
    return replace(expectation, hold=hold)


def _one_answer(declared: Mapping[str, Declared]) -> QueryExpectation:
    if len(declared) != 1 or next(iter(declared)) not in set(Quantifier):
        what = f"a query expects exactly one of these, not {_keys(declared)}"
        raise DeclarationIssues([DeclarationIssue(("expect",), what, ", ".join(Quantifier))])
    name, value = next(iter(declared.items()))
    quantifier = Quantifier(name)
    if quantifier in {Quantifier.EMPTY, Quantifier.RECORDED}:
        if value is not True:
            raise DeclarationIssues([DeclarationIssue(("expect", name), f"is {_scalar(value)}", "true")])
        return QueryExpectation(quantifier)
    match = _COMPARISON.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise DeclarationIssues(
            [DeclarationIssue(("expect", name), f"{_scalar(value)} is not a comparison", _COMPARISONS)]
        )
    return QueryExpectation(quantifier, match[1], float(match[2]))


def action_expectation(declared: Mapping[str, Declared]) -> ActionExpectation:
    """Return the parsed `expect` of an operator action.

    Raises DeclarationIssues for no field, an invalid field name, or a value that is no scalar.
    """
    if not declared:
        raise DeclarationIssues(
            [
                DeclarationIssue(
                    ("expect",), "is empty", "one or more field: value of the operator action's answer"
                )
            ]
        )
    odd = [name for name in declared if not _FIELD.fullmatch(name)]
    if odd:
        allowed = "a small letter, then small letters, digits and _"
        raise DeclarationIssues(
            [DeclarationIssue(("expect", name), "is not a field name", allowed) for name in odd]
        )
    fields = {name: value for name, value in declared.items() if isinstance(value, Scalar)}
    if nested := [name for name in declared if name not in fields]:
        what = "an operator action's answer has no such value"
        raise DeclarationIssues(
            [DeclarationIssue(("expect", name), what, "true, false, a number or text") for name in nested]
        )
    return ActionExpectation(tuple(fields.items()))


def show_samples(samples: Sequence[Sample]) -> str:
    """Return samples as one line of limited length."""
    if not samples:
        return "no sample (absent is not zero)"
    shown = [_show_sample(sample) for sample in samples[:_SHOWN_SAMPLES]]
    left = len(samples) - len(shown)
    return _short("; ".join(shown) + (f"; and {left} more" if left else ""))


def _show_sample(sample: Sample) -> str:
    labels = ", ".join(
        f'{name}="{value}"' for name, value in sorted(sample.labels.items()) if name != "__name__"
    )
    return f"{sample.value:.10g} {{{labels}}}" if labels else f"{sample.value:.10g}"


def _scalar(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float | str) else type(value).__name__


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


def _keys(declared: Mapping[str, Declared]) -> str:
    return ", ".join(declared) or "nothing"
