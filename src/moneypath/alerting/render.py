"""Write rules as the YAML that Prometheus reads."""

from collections.abc import Callable
from typing import Any, TypeAlias

import yaml

from moneypath.alerting.rules import AlertRule, Rule, RuleGroup, RuleLiteral, duration_text, literal_text
from moneypath.alerting.timing import Scale

HEADER = "# Generated from moneypath.yaml by `moneypath generate`; edit that file, not this one.\n"

Document: TypeAlias = dict[str, Any]
"""A YAML document of somebody else's schema."""


class _Dumper(yaml.SafeDumper):
    """Keep the order of keys, indent lists, and write text of several lines as a block."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002  # PyYAML's own signature
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002  # PyYAML's own signature
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def dump(document: Document) -> str:
    """Return `document` as YAML under a header that names its source."""
    return HEADER + yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=1000, allow_unicode=True)


def document(groups: tuple[RuleGroup, ...], scale: Scale) -> Document:
    """Return the rule file of `groups` at `scale`."""
    interval = duration_text(scale.timing.evaluation_seconds)

    def show(literal: RuleLiteral) -> str:
        return literal_text(literal, scale.apply(literal))

    return {
        "groups": [
            {"name": group.name, "interval": interval, "rules": [_rule(rule, show) for rule in group.rules]}
            for group in groups
        ]
    }


def _rule(rule: Rule, show: Callable[[RuleLiteral], str]) -> Document:
    if not isinstance(rule, AlertRule):
        recording: Document = {"record": rule.record, "expr": rule.expr.text(show)}
        return recording | ({"labels": dict(rule.labels)} if rule.labels else {})
    held = {"for": show(rule.hold)} if rule.hold else {}
    return {
        "alert": rule.name,
        "expr": rule.expr.text(show),
        **held,
        "labels": dict(rule.labels),
        "annotations": dict(rule.annotations),
    }


def rules(groups: tuple[RuleGroup, ...], scale: Scale) -> str:
    """Return the rule file of `groups` at `scale` as YAML."""
    return dump(document(groups, scale))
