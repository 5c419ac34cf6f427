"""Rules as values whose literals have a kind, so that a time scale changes durations and nothing else."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import TypeAlias


class LiteralKind(StrEnum):
    """The kind of a literal; a time scale shrinks windows, holds and ages only."""

    WINDOW = "window"
    """A duration over which samples are taken."""
    HOLD = "hold"
    """A duration for which a condition has to hold."""
    AGE = "age"
    """Seconds since something happened."""
    COUNT = "count"
    """A number of events."""
    FIXED = "fixed"
    """A share, or a state such as 0 and 1."""


@dataclass(frozen=True, slots=True)
class RuleLiteral:
    """One literal of a rule. `name` says its purpose; windows, holds and ages are in seconds."""

    kind: LiteralKind
    value: Fraction
    name: str


Part: TypeAlias = str | RuleLiteral


@dataclass(frozen=True, slots=True)
class Expr:
    """A PromQL expression: text and literals in their order."""

    parts: tuple[Part, ...]

    def literals(self) -> Iterator[RuleLiteral]:
        """Yield the literals in their order."""
        return (part for part in self.parts if isinstance(part, RuleLiteral))

    def text(self, show: Callable[[RuleLiteral], str]) -> str:
        """Return the expression with each literal as `show` writes it."""
        return "".join(part if isinstance(part, str) else show(part) for part in self.parts)

    def swapped(self, swap: Callable[[RuleLiteral], RuleLiteral]) -> "Expr":
        """Return the same expression with every literal replaced by `swap`."""
        return Expr(tuple(part if isinstance(part, str) else swap(part) for part in self.parts))


def expr(*parts: "Part | Expr") -> Expr:
    """Join text, literals and expressions into one expression."""
    flat: list[Part] = []
    for part in parts:
        flat += part.parts if isinstance(part, Expr) else (part,)
    return Expr(tuple(flat))


@dataclass(frozen=True, slots=True)
class RecordingRule:
    """A rule that stores a series."""

    record: str
    expr: Expr
    labels: Mapping[str, str] = field(default_factory=dict)


class SubjectKind(StrEnum):
    """The kind of an alert's subject, which is also its label: an objective, or anything that checks."""

    SLO = "slo"
    CHECK = "check"


@dataclass(frozen=True, slots=True)
class AlertSource:
    """The part of the declaration that an alert comes from: subject, stage, roles, runbook and dashboard."""

    kind: SubjectKind
    subject: str
    stage: str
    roles: tuple[str, ...]
    runbook: str
    dashboard: str


@dataclass(frozen=True, slots=True)
class AlertRule:
    """A rule that raises an alert. `hold` is how long the condition must last."""

    name: str
    source: AlertSource
    expr: Expr
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    hold: RuleLiteral | None = None


Rule: TypeAlias = RecordingRule | AlertRule


@dataclass(frozen=True, slots=True)
class RuleGroup:
    """Rules that are evaluated one after the other at the same instant."""

    name: str
    rules: tuple[Rule, ...]


def window(seconds: int, name: str) -> RuleLiteral:
    """Return a duration."""
    return RuleLiteral(LiteralKind.WINDOW, Fraction(seconds), name)


def hold(seconds: int, name: str) -> RuleLiteral:
    """Return how long a condition must last."""
    return RuleLiteral(LiteralKind.HOLD, Fraction(seconds), name)


def age(seconds: int, name: str) -> RuleLiteral:
    """Return an age in seconds."""
    return RuleLiteral(LiteralKind.AGE, Fraction(seconds), name)


def count(events: int | Decimal, name: str) -> RuleLiteral:
    """Return a number of events, or a level."""
    return RuleLiteral(LiteralKind.COUNT, Fraction(events), name)


def fixed(value: Decimal | Fraction | int, name: str) -> RuleLiteral:
    """Return a share or a state."""
    return RuleLiteral(LiteralKind.FIXED, Fraction(value), name)


def literal_text(literal: RuleLiteral, value: Fraction) -> str:
    """Write `value` the way PromQL reads a literal of this kind."""
    is_duration = literal.kind in {LiteralKind.WINDOW, LiteralKind.HOLD}
    return duration_text(value) if is_duration else decimal_text(value)


def duration_text(seconds: Fraction) -> str:
    """Write a duration in the largest whole unit: `1h`, `90s`, `500ms`."""
    for unit, size in (("h", 3600), ("m", 60), ("s", 1)):
        if seconds % size == 0 and (seconds or unit == "s"):
            return f"{seconds // size}{unit}"
    return f"{round(seconds * 1000)}ms"


def decimal_text(value: Fraction) -> str:
    """Write a number exactly, or rounded to nine places: never `0.9990000000000001`."""
    scaled = round(value * 10**9)
    text = f"{scaled // 10**9}.{scaled % 10**9:09d}"
    return text.rstrip("0").rstrip(".")
