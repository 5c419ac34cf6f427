"""A service with several instances is down when one is dead, or when there are too few, by promtool."""

from pathlib import Path

import pytest

from moneypath.alerting import render, rule_groups
from moneypath.alerting.generate import RULES_FILE, TESTS_FOLDER
from moneypath.alerting.promtool_tests.suite import files
from moneypath.alerting.timing import Scale
from moneypath.path.model import MoneyPath

from .conftest import RunTool


@pytest.fixture
def of_three(money_path: MoneyPath) -> MoneyPath:
    """Return a money path whose first service runs three times."""
    target = money_path.targets[0].model_copy(update={"instances": 3})
    return money_path.model_copy(update={"targets": (target, *money_path.targets[1:])})


def run(path: MoneyPath, folder: Path, promtool: RunTool, *, seen: str, instead: str) -> int:
    """Run the generated tests of the first service on its rules, of which a part is exchanged."""
    rules = render.rules(rule_groups.build(path), Scale(1))
    assert seen in rules
    for place, text in (
        (folder / RULES_FILE, rules.replace(seen, instead)),
        (
            folder / TESTS_FOLDER / "down.test.yml",
            files(path)[f"MoneyPathTargetDown.{path.targets[0].job}.test.yml"],
        ),
    ):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
    return promtool("test", "rules", "down.test.yml", cwd=folder / TESTS_FOLDER).returncode


ENOUGH = "count by (job) (up) >= 3"
ALL = "min by (job) (up) == 1"


def test_one_dead_and_one_too_few_are_down(of_three: MoneyPath, tmp_path: Path, promtool: RunTool) -> None:
    """As it is generated."""
    assert run(of_three, tmp_path, promtool, seen=ENOUGH, instead=ENOUGH) == 0


@pytest.mark.parametrize(
    ("seen", "instead"),
    [
        (ENOUGH, "count by (job) (up) >= 2"),
        (ENOUGH, "count by (job) (up) >= 4"),
        # What it was: one of three that answers was enough.
        (ALL, "max by (job) (up) == 1"),
    ],
)
def test_a_rule_that_counts_otherwise_fails_its_test(
    of_three: MoneyPath, tmp_path: Path, promtool: RunTool, seen: str, instead: str
) -> None:
    """One instance more or less, and any instead of all."""
    assert run(of_three, tmp_path, promtool, seen=seen, instead=instead) != 0
