"""One row for each outage, for people and for the decision record."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final

from proofs.outages.pages import PageCount
from proofs.outages.run import Result
from rich.table import Table

_PREFIX: Final = "MoneyPath"
_COLUMNS: Final = (
    "outage", "seconds", "captured before, during, after", "lost", "doubled", "unbalanced",
    "messages missing, doubled", "whole after", "pages", "of which", "ended by itself",
)  # fmt: skip


def to_row(result: Result) -> tuple[str, ...]:
    """Return a result as the texts of its row."""
    classes, effects = result.classes, result.effects
    spare = effects.notifications + effects.entries - 2 * effects.resolved + effects.missing
    seconds = result.healing.seconds
    return (
        result.outage.name,
        f"{result.outage.seconds:g}",
        ", ".join(map(str, result.captures)),
        str(classes["lost"] + classes["different"]),
        str(classes["doubled"]),
        str(classes["unbalanced"]),
        f"{effects.missing}, {spare}",
        f"not: {result.healing.last}" if seconds is None else f"{seconds:.1f} s ({result.healing.last})",
        ", ".join(f"{role} {number}" for role, number in sorted(result.pages.by_role.items())) or "none",
        describe_pages(result.pages),
        ", ".join(f"{name} {number}" for name, number in result.deaths.items()) or "none",
    )


def describe_pages(pages: PageCount) -> str:
    """Return each alert with its pages to each role: `QueueBacklog eng 6 ops 6`."""
    by_name: dict[str, list[str]] = defaultdict(list)
    for (name, role), number in sorted(pages.by_alert.items()):
        by_name[name.removeprefix(_PREFIX)].append(f"{role} {number}")
    return "; ".join(f"{name} {' '.join(roles)}" for name, roles in sorted(by_name.items()))


def render(rows: Iterable[tuple[str, ...]], skipped: Mapping[str, str]) -> Table:
    """Return the table; what was skipped has a row with its reason."""
    table = Table(*_COLUMNS, title="Outages under load")
    for row in rows:
        table.add_row(*row)
    for name, reason in skipped.items():
        table.add_row(name, *[""] * (len(_COLUMNS) - 2), f"skipped: {reason}")
    return table


def to_document(result: Result) -> Mapping[str, Any]:
    """Return what the table leaves out too, as JSON types."""
    return {
        "row": dict(zip(_COLUMNS, to_row(result), strict=True)),
        "parts": dict(result.healing.parts),
        "alerts": result.pages.alerts,
        "told_over": result.pages.told_over,
        "longest_silence_seconds": round(result.requests.longest_silence_seconds, 1),
        "unanswered": result.requests.unanswered,
        "open_keys": result.requests.open_keys,
        "findings": list(result.findings),
    }
