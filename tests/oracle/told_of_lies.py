"""Write what the audit tells of each planted lie: `python -m tests.oracle.told_of_lies`.

Read the difference before it is committed: amounts, names and words are what people act on.
"""

from collections.abc import Iterator
from pathlib import Path

from moneypath.oracle import Discrepancy

from .corner_lies import CORNER_LIES
from .sabotage.registry import SABOTAGES
from .test_oracle_audit import LIES
from .world import whole_world

FILE = Path(__file__).parent / "told_of_lies.txt"


def told() -> Iterator[str]:
    """Yield each lie and, below it, what is found: kind, subject, amount at stake, words."""
    for lie in LIES:
        yield lie.name
        yield from map(_line, lie.rows.audit())
    for name, (alter, _) in SABOTAGES.items():
        yield name.replace("_", " ")
        yield from map(_line, alter(whole_world()).audit())
    for name, rows in CORNER_LIES.items():
        yield name
        yield from map(_line, rows.audit())


def _line(found: Discrepancy) -> str:
    amount = "-" if found.amount_minor is None else f"{found.amount_minor}"
    at_stake = f"{amount} {found.currency or ''}".rstrip()
    return f"  {found.kind} | {found.subject} | {at_stake} | {found.detail}"


if __name__ == "__main__":
    FILE.write_text("\n".join(told()) + "\n", encoding="utf-8")
