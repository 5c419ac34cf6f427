"""The repository's declaration with SQL checks of a team."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from moneypath.path.sql_checks import VIOLATIONS

DECLARATION: Final = Path(__file__).parents[2] / "moneypath.yaml"
WORDS: Final = ("One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight")


def sql_check(check: str, word: str, **sql: Any) -> dict[str, Any]:
    """Return a check as it stands in a declaration; `word` makes the names of its alerts."""
    return {
        "id": check,
        "title": f"The {check} holds",
        "stage": "ledger",
        "series": [VIOLATIONS],
        "stale_after_seconds": 480,
        "alerts": {"violated": f"MoneyPathWallet{word}", "stale": f"MoneyPathWallet{word}Stale"},
        "roles": ["eng"],
        "runbook": "ledger-imbalance",
        "stale_roles": ["eng"],
        "stale_runbook": "telemetry-blackout",
        "dashboard": "money-path",
        "sql": {"dsn_file": "dsn", "every_seconds": 1, "time_limit_seconds": 1, **sql},
    }


def declare(folder: Path, checks: Mapping[str, Mapping[str, Any]]) -> Path:
    """Write a declaration with further checks, each by its id and its `sql`, and return the file."""
    document = yaml.safe_load(DECLARATION.read_text(encoding="utf-8"))
    document["checks"] += [
        sql_check(check, word, **sql) for (check, sql), word in zip(checks.items(), WORDS, strict=False)
    ]
    file = folder / "moneypath.yaml"
    file.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    return file
