"""The tables of this room are its own."""

import re
from pathlib import Path

import refpay

TABLE = re.compile(r"(?<!refpay\.)\breconciliation\.(?:awaited|break|line|progress|repair|report|revision)\b")
# The integrity checks read every room's tables by themselves: what they check does not vouch for itself.
CHECKS = Path("operations/checks_repository.py")


def test_nobody_else_says_what_is_in_them() -> None:
    """No other room's code names one of them."""
    root = Path(refpay.__file__).parent
    naming = {file.relative_to(root) for file in root.rglob("*.py") if TABLE.search(file.read_text())}
    assert CHECKS in naming
    assert {file for file in naming if file.parts[0] != "reconciliation"} == {CHECKS}
