"""What has to stay so: `for` how long without a break, and on how many events as `evidence`.

One answer proves little: a share of bad payments dips by chance, and without traffic nothing fails. `for` is
production time like every other time of a runbook or a drill. `evidence` is a counter, of which the growth
counts since the answer became right; events are real, so no scale touches `min`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from moneypath.alerting.timing import FLOOR_SECONDS
from moneypath.path.durations import UNITS, parse_duration
from moneypath.path.source import DeclarationIssue, DeclarationIssues
from moneypath.prometheus import Sample
from moneypath.runbooks.placeholders import fill, names
from moneypath.runbooks.queries import read

Scalar: TypeAlias = bool | int | float | str
Declared: TypeAlias = bool | int | float | str | dict[str, bool | int | float | str]

FOR: Final = "for"
EVIDENCE: Final = "evidence"
HOLD_KEYS: Final = frozenset({FOR, EVIDENCE})
_EVIDENCE_KEYS: Final = frozenset({"min", "query"})
_EVIDENCE_ALLOWED: Final = "{min: 50, query: a counter}"
_MIN_EVENTS: Final = 1_000_000
COUNTER_ENDINGS: Final = ("_total", "_count")


@dataclass(frozen=True, slots=True)
class Hold:
    """How long an answer has to stay right, in production seconds, and on how many events of `counter`."""

    for_seconds: float
    min_events: int
    counter: str

    def __str__(self) -> str:
        return f"for {_duration(self.for_seconds)} on {self.min_events} of {self.counter}"

    def filled(self, labels: Mapping[str, str]) -> "Hold":
        """Return the same with placeholders replaced."""
        return replace(self, counter=fill(self.counter, labels))

    def placeholders(self) -> frozenset[str]:
        """Return the placeholders of the counter."""
        return names(self.counter)

    def real_seconds(self, scale: float) -> float:
        """Return the time at `scale`; like the windows of rules it is never shorter than their floor."""
        return max(self.for_seconds / scale, min(self.for_seconds, float(FLOOR_SECONDS)))


@dataclass(frozen=True, slots=True)
class Held:
    """How long an answer was right without a break, in real seconds, and the events counted meanwhile."""

    seconds: float = 0.0
    events: float = 0.0

    def satisfies(self, seconds: float, events: int) -> bool:
        """Tell whether it was long enough and on enough events."""
        return self.seconds >= seconds and self.events >= events


@dataclass(slots=True)
class HoldTracker:
    """Follows one answer: each look says whether it is right, and what the counter stands at.

    A wrong answer, a counter without a value and a counter that went back all begin it anew.
    """

    _since: float | None = None
    _base: float = 0.0
    held: Held = field(default_factory=Held)

    def look(self, *, right: bool, count: float | None, at: float) -> Held:
        """Take one look at instant `at`; return how long and on how much it has been right."""
        if not right or count is None:
            self._since, self.held = None, Held()
        elif self._since is None or count < self._base:
            self._since, self._base, self.held = at, count, Held()
        else:
            self.held = Held(at - self._since, count - self._base)
        return self.held


def counted(samples: Sequence[Sample]) -> float | None:
    """Return the value of a counter that gave exactly one sample, None when nothing is known."""
    values = [sample.value for sample in samples]
    return values[0] if len(values) == 1 and values[0] == values[0] else None  # NaN is no count


def parse_hold(declared: Mapping[str, Declared]) -> Hold | None:
    """Return the parsed `for` and `evidence`, None for neither; raise DeclarationIssues for half of it."""
    if not declared:
        return None
    if missing := HOLD_KEYS - set(declared):
        given = ", ".join(sorted(declared))
        raise DeclarationIssues(
            [
                DeclarationIssue(("expect",), f"has `{given}` without `{name}`", "both, or neither")
                for name in sorted(missing)
            ]
        )
    evidence = declared[EVIDENCE]
    seconds = _seconds(declared[FOR])
    if not isinstance(evidence, dict) or set(evidence) != _EVIDENCE_KEYS:
        raise DeclarationIssues(
            [
                DeclarationIssue(
                    ("expect", EVIDENCE), "needs `min` and `query`, and nothing else", _EVIDENCE_ALLOWED
                )
            ]
        )
    least, counter = evidence["min"], evidence["query"]
    if isinstance(least, bool) or not isinstance(least, int) or not 1 <= least <= _MIN_EVENTS:
        allowed = f"a whole number from 1 to {_MIN_EVENTS}"
        raise DeclarationIssues([DeclarationIssue(("expect", EVIDENCE, "min"), f"is {least}", allowed)])
    if not isinstance(counter, str) or not counter:
        raise DeclarationIssues([DeclarationIssue(("expect", EVIDENCE, "query"), "is no text", "PromQL")])
    if issues := list(_counter_issues(counter)):
        raise DeclarationIssues(issues)
    return Hold(seconds, least, " ".join(counter.split()))


def _seconds(declared: Declared) -> float:
    try:
        seconds = parse_duration(declared)
    except ValueError as problem:
        raise DeclarationIssues([DeclarationIssue(("expect", FOR), str(problem))]) from None
    if seconds <= 0:
        raise DeclarationIssues([DeclarationIssue(("expect", FOR), "is no time", "more than 0s")])
    return seconds


def _counter_issues(counter: str) -> Iterator[DeclarationIssue]:
    """Yield why a query is no counter: the growth of anything else is no number of events."""
    at = ("expect", EVIDENCE, "query")
    reading = read(counter)
    if reading.error:
        yield DeclarationIssue(at, f"is not valid PromQL: {reading.error}", "a counter, as in sum(x_total)")
    for name in sorted(reading.series):
        if not name.endswith(COUNTER_ENDINGS):
            allowed = f"series that end in {' or '.join(COUNTER_ENDINGS)}"
            yield DeclarationIssue(at, f"counts on {name}, which may go down", allowed)
    if "[" in counter:
        yield DeclarationIssue(at, "has a window; its growth is taken anyway", "the counter itself")


def _duration(seconds: float) -> str:
    """Return seconds as a runbook writes them: `5m`."""
    for unit in ("h", "m", "s"):
        if seconds % UNITS[unit] == 0:
            return f"{seconds / UNITS[unit]:g}{unit}"
    return f"{seconds:g}s"
