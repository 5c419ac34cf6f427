"""Reconciliation's tables are its own, and sums of them are shown however large they are."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import refpay
from refpay.money import MAXIMUM_MINOR
from refpay.reconciliation.breaks_repository import insert_breaks, read_sums
from refpay.reconciliation.model import Break, BreakClass, BreakId
from refpay.reconciliation.operator_actions import read_overview

if TYPE_CHECKING:
    from .bench import Bench

TABLE = re.compile(
    r"(?<!refpay\.)\breconciliation\.(?:awaited|break|import|line|progress|repair|report|revision)\b"
)
# The integrity checks read the tables of every package by themselves, so that no package checks itself.
CHECKS = {Path("operations/checks_repository.py"), Path("ledger/causes.py")}


def test_nobody_else_says_what_is_in_them() -> None:
    """No code of another package names one of them."""
    root = Path(refpay.__file__).parent
    naming = {file.relative_to(root) for file in root.rglob("*.py") if TABLE.search(file.read_text())}
    assert {file for file in naming if file.parts[0] != "reconciliation"} == CHECKS


async def test_breaks_beyond_63_bits_are_added_up(bench: "Bench") -> None:
    """Two lines of a report may each state the most there is."""
    breaks = [
        Break(BreakId(key, BreakClass.MISSING_OURS), "EUR", MAXIMUM_MINOR, None, (1, 0)) for key in "ab"
    ]
    async with bench.database.transaction() as connection:
        await insert_breaks(connection, "north", breaks, now=bench.clock.now())
        (shown,) = (await read_overview(connection))["open_breaks"]
        (one,) = await read_sums(connection, "north")
    assert (shown["provider"], shown["class"], shown["breaks"]) == ("north", "missing_ours", 2)
    assert shown["value_minor"] == one.value_minor == 2 * MAXIMUM_MINOR
