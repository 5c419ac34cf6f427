"""Check rules without running them: labels, links, names and series."""

import re
from collections.abc import Iterator
from typing import TypeAlias

import promql_parser as promql

from moneypath.alerting.conventions import Severity, watchdog_name
from moneypath.alerting.errors import RuleInvalid
from moneypath.alerting.matchers import values_of
from moneypath.alerting.rules import AlertRule, Expr, Rule, RuleGroup, literal_text
from moneypath.path.model import MoneyPath

RUNBOOK_URL = "runbook_url"
ANNOTATIONS = ("summary", "description", RUNBOOK_URL, "dashboard_url")
Labels: TypeAlias = dict[str, "tuple[str, ...] | None"]
"""The labels of a series, each with all its values, or None when they are not closed."""

# Series that Prometheus itself makes, with their labels.
BUILT_IN = {"up": {"job", "instance"}, "ALERTS": {"alertname", "alertstate", "tier", "check"}}
SCRAPE_LABELS = ("job", "instance")


def check(path: MoneyPath, groups: tuple[RuleGroup, ...]) -> None:
    """Raise RuleInvalid with every defect of the rules."""
    defects = list(_defects(path, groups))
    if defects:
        raise RuleInvalid(
            "\n".join(defects),
            hint="Correct moneypath.yaml; if it is sound, report a defect of the generator.",
        )


def known_series(path: MoneyPath, groups: tuple[RuleGroup, ...]) -> dict[str, Labels]:
    """Return the labels of every series that a rule may read, with their values where the set is closed."""
    known: dict[str, Labels] = {name: dict.fromkeys(labels) for name, labels in BUILT_IN.items()}
    for spec in path.known_metrics():
        for name in spec.sample_names:
            known[name] = {**dict.fromkeys((*SCRAPE_LABELS, "le")), **dict(spec.labels)}
        # An alert carries the labels of what it reads.
        known["ALERTS"].update(dict.fromkeys(spec.labels))
    for rule in (rule for group in groups for rule in group.rules):
        if not isinstance(rule, AlertRule):
            known.setdefault(rule.record, {"provider": None}).update(dict.fromkeys(rule.labels))
    return known


def selectors(text: str) -> Iterator[tuple[str, tuple[promql.Matcher, ...]]]:
    """Yield each series that a PromQL expression reads, with its matchers."""
    for node in _nodes(_parse(text)):
        if isinstance(node, promql.VectorSelector):
            yield node.name or "", tuple(node.matchers.matchers)


def grouping_labels(text: str) -> set[str]:
    """Return every label that a PromQL expression aggregates by."""
    labels: set[str] = set()
    for node in _nodes(_parse(text)):
        if isinstance(node, promql.AggregateExpr) and node.modifier:
            labels |= set(node.modifier.labels)
    return labels


def unscaled_text(expression: Expr) -> str:
    """Return `expression` as PromQL with the durations of production."""
    return expression.text(lambda literal: literal_text(literal, literal.value))


def _parse(text: str) -> promql.Expr:
    try:
        return promql.parse(text)
    except ValueError as error:
        raise RuleInvalid(f"not PromQL: {text}: {error}") from error


def _nodes(node: object) -> Iterator[object]:
    yield node
    for name in ("lhs", "rhs", "expr", "param", "vector_selector"):
        child = getattr(node, name, None)
        if child is not None:
            yield from _nodes(child)
    for argument in getattr(node, "args", None) or ():
        yield from _nodes(argument)


def _defects(path: MoneyPath, groups: tuple[RuleGroup, ...]) -> Iterator[str]:
    known = known_series(path, groups)
    seen: set[tuple[str, tuple[tuple[str, str], ...]]] = set()
    for group in groups:
        for rule in group.rules:
            name = rule.name if isinstance(rule, AlertRule) else rule.record
            identity = (name, tuple(sorted(rule.labels.items())))
            if identity in seen:
                yield f"{name}: there are two rules of this name and these labels"
            seen.add(identity)
            yield from (f"{name}: {defect}" for defect in _rule_defects(path, rule, known))


def _rule_defects(path: MoneyPath, rule: Rule, known: dict[str, Labels]) -> Iterator[str]:
    yield from _text_defects(unscaled_text(rule.expr), known)
    if isinstance(rule, AlertRule):
        yield from _alert_defects(path, rule)
        for query in re.findall(r'query "([^"]+)"', rule.annotations.get("description", "")):
            yield from _text_defects(query, known)


def _text_defects(text: str, known: dict[str, Labels]) -> Iterator[str]:
    try:
        read = tuple(selectors(text))
    except RuleInvalid as error:
        yield error.what
        return
    for series, matchers in read:
        if series not in known:
            yield f"reads {series}, which is neither in the catalogue nor recorded"
            continue
        for matcher in matchers:
            if matcher.name not in known[series]:
                yield f"selects {series} by {matcher.name}, which it does not have"
                continue
            values = known[series][matcher.name]
            is_pattern = matcher.op in (promql.MatchOp.Re, promql.MatchOp.NotRe)
            for value in values_of(matcher.value) if is_pattern else (matcher.value,):
                if values is not None and value not in values:
                    yield f'selects {series} by {matcher.name}="{value}", which never occurs'
    there = {label for series, _ in read for label in known.get(series, {})}
    for label in grouping_labels(text) - there:
        yield f"groups by {label}, which no series of it has"


def _alert_defects(path: MoneyPath, alert: AlertRule) -> Iterator[str]:
    severity = alert.labels.get("severity")
    if severity not in set(Severity):
        yield f"severity {severity}; allowed: {', '.join(Severity)}"
    if (severity == Severity.NONE) != (alert.name == watchdog_name(path)):
        yield "only the watchdog has the severity none, and it has no other"
    if len({"slo", "check"} & set(alert.labels)) != 1:
        yield "has to have either the label slo or the label check"
    if alert.labels.get("stage") not in {stage.id for stage in path.stages}:
        yield f"stage {alert.labels.get('stage')} is not declared"
    roles = alert.labels.get("roles", "")
    named = roles.strip("|").split("|")
    if roles != f"|{'|'.join(named)}|" or not set(named) <= set(path.roles):
        yield f"roles {roles}; allowed: declared roles between bars, such as |eng|ops|"
    for annotation in ANNOTATIONS:
        if not alert.annotations.get(annotation) and (annotation != RUNBOOK_URL or alert.source.runbook):
            yield f"the annotation {annotation} is missing"
    if "{{" in alert.annotations.get("summary", ""):
        yield "the summary has to be static, templates belong into the description"
    link = alert.annotations.get(RUNBOOK_URL)
    if link is not None and not (link.startswith(path.links.runbooks) and link.endswith(".md")):
        yield "runbook_url does not lead to the runbooks"
