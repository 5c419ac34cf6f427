"""Writes everything that alerting needs: the committed files, and the files of one live run."""

from dataclasses import dataclass
from pathlib import Path

from moneypath.alerting import analysis, facts, render, routing, tree
from moneypath.alerting.leaf import Alert, Group, Leaf, duration_text
from moneypath.alerting.promtests import suite
from moneypath.alerting.timing import Scale
from moneypath.path.model import MoneyPath

RULES_FILE = "alerts/rules/moneypath.rules.yml"
TESTS_FOLDER = "alerts/tests"
ALERTMANAGER_FILE = "alerts/alertmanager.yml"


@dataclass(frozen=True, slots=True)
class LiveAlerting:
    """The files of a live run; Prometheus has to be given the times of the scale as well.

    `clamped` names the times that the floor of 5 s keeps longer than the scale asks for.
    """

    rule_file: Path
    alertmanager_file: Path
    clamped: tuple[str, ...]


def generate(path: MoneyPath) -> dict[str, str]:
    """Return the files to commit, by their path in the repository.

    Raises AlertImpossible or RuleInvalid for what could never work, before anything is written.
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
    for name, text in suite.files(path).items():
        files[f"{TESTS_FOLDER}/{name}"] = text
    return files


def write_live(
    path: MoneyPath, folder: Path, scale: Scale, *, pager_url: str, credentials_file: Path
) -> LiveAlerting:
    """Write the rules and the Alertmanager configuration of a live run into `folder`."""
    groups = checked_tree(path)
    folder.mkdir(parents=True, exist_ok=True)
    rule_file = folder / "moneypath.rules.yml"
    rule_file.write_text(render.rules(groups, scale), encoding="utf-8")
    alertmanager_file = folder / "alertmanager.yml"
    configuration = routing.configuration(
        path, scale, pager_url=pager_url, credentials_file=str(credentials_file)
    )
    alertmanager_file.write_text(configuration, encoding="utf-8")
    return LiveAlerting(rule_file, alertmanager_file, clamped(groups, scale))


def checked_tree(path: MoneyPath) -> tuple[Group, ...]:
    """Return the tree of rules after everything that can be known of it without running it was checked."""
    groups = tree.build(path)
    facts.check_budgets(path)
    analysis.check(path, groups)
    return groups


def clamped(groups: tuple[Group, ...], scale: Scale) -> tuple[str, ...]:
    """Return one line for each time that the floor keeps longer than `scale` asks for."""
    found: dict[str, None] = {}
    for group in groups:
        for rule in group.rules:
            hold = (rule.hold,) if isinstance(rule, Alert) and rule.hold else ()
            for leaf in (*rule.expr.leaves(), *hold):
                if scale.clamps(leaf):
                    found[_clamp_text(leaf, scale)] = None
    return tuple(found)


def _clamp_text(leaf: Leaf, scale: Scale) -> str:
    full, asked, kept = map(duration_text, (leaf.value, leaf.value / scale.factor, scale.apply(leaf)))
    return f"{leaf.name}: {full} at scale {scale.factor} would be {asked}, is kept at {kept}"
