"""Writes trees of rules as the YAML that Prometheus reads."""

from collections.abc import Callable
from typing import Any, TypeAlias

import yaml

from moneypath.alerting.leaf import Alert, Group, Leaf, Rule, duration_text, literal_text
from moneypath.alerting.timing import Scale

HEADER = "# Generated from moneypath.yaml by `moneypath generate`; edit that file, not this one.\n"

Document: TypeAlias = dict[str, Any]
"""A YAML document of somebody else's schema."""


class _Dumper(yaml.SafeDumper):
    """Keeps the order of keys, indents lists, and writes text of several lines as a block."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002  # PyYAML's own signature
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002  # PyYAML's own signature
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def dump(document: Document) -> str:
    """Return `document` as YAML below the line that says where it comes from."""
    return HEADER + yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=1000, allow_unicode=True)


def document(groups: tuple[Group, ...], scale: Scale) -> Document:
    """Return the rule file of `groups` at `scale`."""
    interval = duration_text(scale.timing.evaluation_seconds)

    def show(leaf: Leaf) -> str:
        return literal_text(leaf, scale.apply(leaf))

    return {
        "groups": [
            {"name": group.name, "interval": interval, "rules": [_rule(rule, show) for rule in group.rules]}
            for group in groups
        ]
    }


def _rule(rule: Rule, show: Callable[[Leaf], str]) -> Document:
    if not isinstance(rule, Alert):
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


def rules(groups: tuple[Group, ...], scale: Scale) -> str:
    """Return the rule file of `groups` at `scale` as YAML."""
    return dump(document(groups, scale))
