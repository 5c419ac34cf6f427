"""What the README says about alerts is what the declaration yields: times, drilled alerts and runbooks."""

import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import yaml

from moneypath.alerting.facts import AlertFacts, describe
from moneypath.alerting.timing import Scale
from moneypath.path.loader import load

PROJECT = Path(__file__).parents[2]
README = (PROJECT / "README.md").read_text(encoding="utf-8")
SECTION = README.split("\n## How long until somebody is paged\n", 1)[1].split("\n## ", 1)[0]
ROWS = [line.strip("| ").split(" | ") for line in SECTION.splitlines() if line.startswith("| ")][1:]
FACTS = describe(load(PROJECT / "moneypath.yaml"), Scale(1))
PAGING = {facts.name.removeprefix("MoneyPath") for facts in FACTS if facts.detect_within_seconds is not None}


def spoken(seconds: Fraction) -> str:
    """Return a time as the README writes it, rounded up to whole seconds."""
    minutes, rest = divmod(-(-seconds.numerator // seconds.denominator), 60)
    parts = [f"{minutes} min"] if minutes else []
    return " ".join([*parts, f"{rest} s"] if rest else parts)


def facts_of(row: list[str]) -> list[AlertFacts]:
    """Return the facts of the alerts that a row names."""
    names = re.findall(r"`(\w+)`", row[1])
    return [facts for facts in FACTS if facts.name.removeprefix("MoneyPath") in names]


def test_every_alert_that_pages_has_one_row() -> None:
    """None is left out, none is there twice, and none is made up."""
    named = [name for row in ROWS for name in re.findall(r"`(\w+)`", row[1])]
    assert sorted(named) == sorted(PAGING)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[1][:40])
def test_the_time_to_page_is_the_worst_case_of_the_rules(row: list[str]) -> None:
    """Each time of a row is that of one of its alerts, and each of them has its time there."""
    said = set(re.findall(r"(?:\d+ min)?(?: ?\d+ s)?", row[2])) - {""}
    expected = {spoken(facts.detect_within_seconds) for facts in facts_of(row) if facts.detect_within_seconds}
    assert {text.strip() for text in said} == expected


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[1][:40])
def test_a_ratio_is_stated_where_the_time_depends_on_one(row: list[str]) -> None:
    """`30 %` stands in the row of an alert whose worst case holds for 30 % bad events."""
    ratios = {facts.error_ratio for facts in facts_of(row)} - {None}
    assert {Fraction(int(percent), 100) for percent in re.findall(r"(\d+) %", row[0])} == ratios


def drills() -> list[dict[str, Any]]:
    """Return every drill of the project."""
    return [
        yaml.safe_load(file.read_text(encoding="utf-8")) for file in sorted(PROJECT.glob("drills/*.yaml"))
    ]


def test_the_share_that_drills_prove_is_stated() -> None:
    """How many alert names and runbooks a drill exercises, of how many."""
    alerts = {alert["name"] for drill in drills() for alert in drill["expect"]["alerts"]}
    runbooks = {drill["runbook"] for drill in drills()}
    names = {facts.name for facts in FACTS}
    total = len(list(PROJECT.glob("runbooks/*.md")))
    said = re.search(r"fire (\d+) of the (\d+) alerts and execute\s+(\d+) of the (\d+) runbooks", README)
    assert said
    assert tuple(map(int, said.groups())) == (len(alerts), len(names), len(runbooks), total)
