"""The parts of a promtool test: input series, expectations, and the file."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction

from moneypath.alerting.conventions import (
    MONEY_SENTENCE,
    NO_MONEY_FOUND,
    TARGET_EXPECTED,
    violations_money,
)
from moneypath.alerting.render import Document, dump
from moneypath.alerting.rules import AlertRule, decimal_text, duration_text
from moneypath.alerting.timing import PRODUCTION
from moneypath.path.model import MoneyPath

STEP_SECONDS = int(PRODUCTION.evaluation_seconds)
# Coarser than production, which evaluates every 5 s: it halves the time and moves no expectation.
EVALUATION_SECONDS = 10
RULES_FROM_TESTS = "../rules/moneypath.rules.yml"
_CHOICE = re.compile(
    r'\{\{ if eq \$labels\.(\w+) "(\w+)" \}\}(.*?)\{\{ else \}\}(.*?)\{\{ end \}\}', re.DOTALL
)
# More values of a label than any metric of ours has in a test; all the codes of HTTP are more.
MOST_VALUES = 24
MONEY_NOT_KNOWN = "Money at risk: not known; see the runbook."


@dataclass(frozen=True, slots=True)
class AlertsAt:
    """The instances of the alert under test that are expected at one time, by their distinguishing labels.

    `others` are instances of other rules that raise alerts of the same name. `found` is what an SQL check
    says of the money in its violations.
    """

    seconds: int
    firing: tuple[Mapping[str, str], ...] = ()
    money: str = MONEY_NOT_KNOWN
    others: tuple[tuple[AlertRule, Mapping[str, str]], ...] = ()
    found: str = NO_MONEY_FOUND


@dataclass(frozen=True, slots=True)
class ValueAt:
    """The value that an expression is expected to have at one time, or None for no result."""

    seconds: int
    expr: str
    value: Fraction | None


@dataclass(frozen=True, slots=True)
class Case:
    """One promtool test of one alert."""

    title: str
    series: Mapping[str, str]
    alerts_at: tuple[AlertsAt, ...]
    values_at: tuple[ValueAt, ...] = ()


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a counter: it grows by `increment` each step; `reset` starts it again at 0."""

    increment: Fraction
    seconds: int
    reset: bool = False


@dataclass(slots=True)
class _Writer:
    total: Fraction = Fraction(0)
    words: list[str] = field(default_factory=list)

    def add(self, segment: Segment) -> None:
        steps = segment.seconds // STEP_SECONDS
        first = Fraction(0) if segment.reset or not self.words else self.total + segment.increment
        grow = decimal_text(segment.increment)
        # `a+bxn` stands for n + 1 samples; only the very first sample, at time 0, is one more.
        repeats = steps if not self.words else steps - 1
        self.words.append(f"{decimal_text(first)}+{grow}x{repeats}")
        self.total = first + segment.increment * repeats


def counter(*segments: Segment) -> str:
    """Return the values of a counter in promtool's notation, one sample each step."""
    writer = _Writer()
    for segment in segments:
        writer.add(segment)
    return " ".join(writer.words)


def gauge(*spans: tuple[int | str | Decimal, int]) -> str:
    """Return the values of a gauge for promtool: each value for so many seconds, `_` for no sample."""
    words: list[str] = []
    for value, seconds in spans:
        steps = seconds // STEP_SECONDS
        if value == "_":
            # A missing scrape alone would keep the last value alive for the whole lookback.
            words.append(f"stale _x{steps - 1}")
        else:
            words.append(f"{value}+0x{steps - 1 if words else steps}")
    return " ".join(words)


def series(name: str, /, **labels: str) -> str:
    """Return a series in promtool's notation."""
    inside = ", ".join(f'{key}="{value}"' for key, value in labels.items())
    return f"{name}{{{inside}}}"


def some(values: Iterable[str]) -> tuple[str, ...]:
    """Return `values`, of many the first and the last: a test of each would tell nothing new."""
    every = tuple(values)
    return every if len(every) <= MOST_VALUES else (*every[: MOST_VALUES // 2], *every[-MOST_VALUES // 2 :])


def located(labels: Mapping[str, str], job: str) -> dict[str, str]:
    """Return `labels` with those of the scrape of `job`, unless a declared series has them already."""
    return {**labels, **{label: job for label in ("job", "instance") if label not in labels}}


def file_text(path: MoneyPath, alert: AlertRule, cases: tuple[Case, ...]) -> str:
    """Return the test file of `alert`. Every test asserts a series that only loaded rules record."""
    return dump(
        {
            "rule_files": [RULES_FROM_TESTS],
            "evaluation_interval": duration_text(Fraction(EVALUATION_SECONDS)),
            "tests": [_test(path, alert, case) for case in cases],
        }
    )


def _test(path: MoneyPath, alert: AlertRule, case: Case) -> Document:
    first = case.alerts_at[0].seconds
    sanity = ValueAt(first, f"count({TARGET_EXPECTED})", Fraction(len(path.targets)))
    return {
        "name": case.title,
        "interval": duration_text(Fraction(STEP_SECONDS)),
        "input_series": [{"series": name, "values": values} for name, values in case.series.items()],
        "alert_rule_test": [
            {
                "eval_time": duration_text(Fraction(alerts_at.seconds)),
                "alertname": alert.name,
                "exp_alerts": [
                    _expected(rule, labels, alerts_at)
                    for rule, labels in (*((alert, labels) for labels in alerts_at.firing), *alerts_at.others)
                ],
            }
            for alerts_at in case.alerts_at
        ],
        "promql_expr_test": [_sample(sample) for sample in (sanity, *case.values_at)],
    }


def _expected(alert: AlertRule, labels: Mapping[str, str], at: AlertsAt) -> Document:
    def fill(text: str) -> str:
        text = text.replace(MONEY_SENTENCE, at.money)
        text = text.replace(violations_money(alert.source.subject), at.found)
        text = _CHOICE.sub(lambda found: found[3] if labels.get(found[1]) == found[2] else found[4], text)
        return re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda found: labels.get(found[1], ""), text)

    return {
        "exp_labels": {**labels, **alert.labels},
        "exp_annotations": {key: fill(text) for key, text in alert.annotations.items()},
    }


def _sample(sample: ValueAt) -> Document:
    values_at = [] if sample.value is None else [{"labels": "{}", "value": float(sample.value)}]
    return {
        "expr": sample.expr,
        "eval_time": duration_text(Fraction(sample.seconds)),
        "exp_samples": values_at,
    }
