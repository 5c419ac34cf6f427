"""The tables of the guide and the code agree, both ways."""

import re
from pathlib import Path

import pytest

from moneypath.oracle import DiscrepancyKind
from moneypath.oracle.entry_kinds import ENTRY_RULES, Side

from .sabotage import test_oracle_sabotage
from .sabotage.registry import SABOTAGES
from .test_oracle_audit import LIES
from .unknowable import REMOVED, UNKNOWABLE
from .world import whole_world

GUIDE = (Path(__file__).parents[2] / "docs" / "guides" / "oracle.md").read_text(encoding="utf-8")
LITTLE = "too little evidence"
OF_EVIDENCE = ("drives_one_payment_in_total", "loses_the_answers_of_half_of_the_requests")


def table(heading: str) -> list[list[str]]:
    """Return the rows of the table under a heading."""
    section = GUIDE.split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def named(cell: str) -> list[str]:
    """Return the names in a cell."""
    return re.findall(r"`([^`]+)`", cell)


WAYS = [(found.strip("`"), named(lies)) for _, found, lies in table("How one unit can go wrong")]


def test_every_kind_of_discrepancy_has_its_row() -> None:
    """And no row names one that does not exist."""
    kinds = [found for found, _ in WAYS if found != LITTLE]
    assert sorted(kinds) == sorted(DiscrepancyKind)


def test_every_sabotage_has_its_row() -> None:
    """A lie that is not in the table would prove nothing to its reader."""
    assert {*SABOTAGES, *OF_EVIDENCE} <= {name for _, names in WAYS for name in names}


@pytest.mark.parametrize(("found", "name"), [(found, name) for found, names in WAYS for name in names])
def test_every_named_lie_is_planted_and_found_as_the_table_says(found: str, name: str) -> None:
    """The lie exists, and the audit gives it the kind of its row."""
    if found == LITTLE:
        assert callable(getattr(test_oracle_sabotage, f"test_{name}"))
        return
    lies = {planted.name: planted.rows for planted in LIES}
    rows = lies[name] if name in lies else SABOTAGES[name][0](whole_world())
    assert DiscrepancyKind(found) in {kind for kind, _ in rows.found()}


def test_the_table_of_what_cannot_be_known_is_that_of_the_tests() -> None:
    """Row for row, in the same order."""
    told = [(witness, ", ".join(named(f) or [f]), where, why) for witness, f, where, why in (
        table("What cannot be known")
    )]  # fmt: skip
    facts = [tuple(fact for fact in one.facts if fact != REMOVED) for one in UNKNOWABLE]
    assert told == [
        (one.witness, ", ".join(fact), one.where, one.why)
        for one, fact in zip(UNKNOWABLE, facts, strict=True)
    ]


def test_the_table_of_entries_is_that_of_the_code() -> None:
    """Kinds, accounts and sides; other names of a kind and holds are left out."""
    told = {}
    for kind, stated, against, _ in table("What each entry may be"):
        told[kind.strip("`")] = (stated, against)
    rules = {kind: ENTRY_RULES[kind] for kind in told}
    assert set(ENTRY_RULES) - set(told) == {"capture", "refund", "hold", "release"}
    sides = {Side.DEBIT: "debit ", Side.CREDIT: "credit ", Side.EITHER: ""}
    assert told == {
        kind: tuple(f"{sides[leg.side]}`{leg.account}`" for leg in (rule.stated, rule.against))
        for kind, rule in rules.items()
    }
