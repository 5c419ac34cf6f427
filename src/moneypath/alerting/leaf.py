"""Rules as trees whose every literal is marked, so that time can be dilated and nothing else."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import TypeAlias


class Mark(StrEnum):
    """What a literal of a rule is, which decides whether a dilation changes it."""

    WINDOW = "window"
    """A duration over which samples are taken or a condition has to hold."""
    AGE = "age"
    """Seconds since something happened."""
    COUNT = "count"
    """A number of events."""
    FIXED = "fixed"
    """A share, or a state such as 0 and 1."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """One literal of a rule. `name` says what it is for; windows and ages are in seconds."""

    mark: Mark
    value: Fraction
    name: str


Part: TypeAlias = str | Leaf


@dataclass(frozen=True, slots=True)
class Expr:
    """A PromQL expression: text without literals, and the literals."""

    parts: tuple[Part, ...]

    def leaves(self) -> Iterator[Leaf]:
        """Yield the literals in their order."""
        return (part for part in self.parts if isinstance(part, Leaf))

    def text(self, show: Callable[[Leaf], str]) -> str:
        """Return the expression with each literal as `show` writes it."""
        return "".join(part if isinstance(part, str) else show(part) for part in self.parts)

    def swapped(self, swap: Callable[[Leaf], Leaf]) -> "Expr":
        """Return the same expression with every literal exchanged by `swap`."""
        return Expr(tuple(part if isinstance(part, str) else swap(part) for part in self.parts))


def expr(*parts: "Part | Expr") -> Expr:
    """Join text, literals and expressions into one expression."""
    flat: list[Part] = []
    for part in parts:
        flat += part.parts if isinstance(part, Expr) else (part,)
    return Expr(tuple(flat))


@dataclass(frozen=True, slots=True)
class Recording:
    """A rule that stores a series."""

    record: str
    expr: Expr
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Alert:
    """A rule that raises an alert. `hold` is how long the condition has to stand first."""

    name: str
    expr: Expr
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    hold: Leaf | None = None


Rule: TypeAlias = Recording | Alert


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that are evaluated one after the other at the same instant."""

    name: str
    rules: tuple[Rule, ...]


def window(seconds: int, name: str) -> Leaf:
    """Return a duration."""
    return Leaf(Mark.WINDOW, Fraction(seconds), name)


def age(seconds: int, name: str) -> Leaf:
    """Return an age in seconds."""
    return Leaf(Mark.AGE, Fraction(seconds), name)


def count(events: int, name: str) -> Leaf:
    """Return a number of events."""
    return Leaf(Mark.COUNT, Fraction(events), name)


def fixed(value: Decimal | Fraction | int, name: str) -> Leaf:
    """Return a share or a state."""
    return Leaf(Mark.FIXED, Fraction(value), name)


def literal_text(leaf: Leaf, value: Fraction) -> str:
    """Write `value` the way PromQL reads a literal of this mark."""
    return duration_text(value) if leaf.mark is Mark.WINDOW else decimal_text(value)


def duration_text(seconds: Fraction) -> str:
    """Write a duration in the largest whole unit: `1h`, `90s`, `500ms`."""
    for unit, size in (("h", 3600), ("m", 60), ("s", 1)):
        if seconds % size == 0 and (seconds or unit == "s"):
            return f"{seconds // size}{unit}"
    return f"{round(seconds * 1000)}ms"


def decimal_text(value: Fraction) -> str:
    """Write a number exactly, or to nine places when it has no end: never `0.9990000000000001`."""
    scaled = round(value * 10**9)
    text = f"{scaled // 10**9}.{scaled % 10**9:09d}"
    return text.rstrip("0").rstrip(".")
