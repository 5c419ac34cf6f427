"""Write the files of alerting: the committed ones, and those of one live run."""

from dataclasses import dataclass
from pathlib import Path

from moneypath.alerting import analysis, facts, render, routing, rule_groups
from moneypath.alerting.promtool_tests import suite
from moneypath.alerting.rules import AlertRule, RuleGroup, RuleLiteral, duration_text
from moneypath.alerting.silences import integrity_alerts
from moneypath.alerting.silences.integrity_alerts import INTEGRITY_ALERTS_FILE
from moneypath.alerting.timing import Scale
from moneypath.path.model import MoneyPath

# In the folder of alerts that the declaration names.
RULES_FILE = "rules/moneypath.rules.yml"
TESTS_FOLDER = "tests"
ALERTMANAGER_FILE = "alertmanager.yml"


@dataclass(frozen=True, slots=True)
class LiveAlerting:
    """The files of a live run. Prometheus must be given the times of the scale as well.

    `integrity_alerts_file` is there if a check asks for silences.
    `clamped` names the times that the minimum of 5 s keeps longer than the scale asks for.
    """

    rule_file: Path
    alertmanager_file: Path
    integrity_alerts_file: Path | None
    clamped: tuple[str, ...]


def generate(path: MoneyPath) -> dict[str, str]:
    """Return the files to commit, by their path in the project.

    Raises AlertImpossible or RuleInvalid before anything is written.
    """
    groups = checked_tree(path)
    files = {
        RULES_FILE: render.rules(groups, Scale(1)),
        ALERTMANAGER_FILE: routing.configuration(
            path,
            Scale(1),
            pager_url=routing.PRODUCTION_PAGER_URL,
            credentials_file=routing.PRODUCTION_CREDENTIALS_FILE,
        ),
    }
    if (described := integrity_alerts.describe(path)) is not None:
        files[INTEGRITY_ALERTS_FILE] = described.to_json()
    for name, text in suite.files(path).items():
        files[f"{TESTS_FOLDER}/{name}"] = text
    return {f"{path.outputs.alerts}/{name}": text for name, text in files.items()}


def write_live(
    path: MoneyPath,
    folder: Path,
    scale: Scale,
    *,
    pager_url: str,
    credentials_file: Path,
    environment: str | None = None,
) -> LiveAlerting:
    """Write the rules and the Alertmanager configuration of a live run into `folder`.

    Alerts of another `environment` page nobody.
    """
    groups = checked_tree(path)
    folder.mkdir(parents=True, exist_ok=True)
    rule_file = folder / "moneypath.rules.yml"
    rule_file.write_text(render.rules(groups, scale), encoding="utf-8")
    alertmanager_file = folder / "alertmanager.yml"
    configuration = routing.configuration(
        path,
        scale,
        pager_url=pager_url,
        credentials_file=str(credentials_file),
        environment=environment,
    )
    alertmanager_file.write_text(configuration, encoding="utf-8")
    integrity_alerts_file: Path | None = None
    if (described := integrity_alerts.describe(path)) is not None:
        integrity_alerts_file = folder / INTEGRITY_ALERTS_FILE
        integrity_alerts_file.write_text(described.to_json(), encoding="utf-8")
    return LiveAlerting(rule_file, alertmanager_file, integrity_alerts_file, clamped(groups, scale))


def checked_tree(path: MoneyPath) -> tuple[RuleGroup, ...]:
    """Return the rules of `path` after all static checks."""
    groups = rule_groups.build(path)
    facts.check_budgets(path)
    analysis.check(path, groups)
    return groups


def clamped(groups: tuple[RuleGroup, ...], scale: Scale) -> tuple[str, ...]:
    """Return one line for each time that the minimum keeps longer than `scale` asks for."""
    found: dict[str, None] = {}
    for group in groups:
        for rule in group.rules:
            hold = (rule.hold,) if isinstance(rule, AlertRule) and rule.hold else ()
            for literal in (*rule.expr.literals(), *hold):
                if scale.clamps(literal):
                    found[_clamp_text(literal, scale)] = None
    return tuple(found)


def _clamp_text(literal: RuleLiteral, scale: Scale) -> str:
    full, asked, kept = map(
        duration_text, (literal.value, literal.value / scale.factor, scale.apply(literal))
    )
    return f"{literal.name}: {full} at scale {scale.factor} would be {asked}, is kept at {kept}"
