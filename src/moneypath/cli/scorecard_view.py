"""The scorecard, for people and for machines."""

from dataclasses import asdict
from typing import Any

from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from moneypath.drills.scoring import Scorecard
from moneypath.path.durations import format_duration


def show_scorecard(console: Console, card: Scorecard) -> None:
    """Print the scorecard; failures, when there are any, come first and in full."""
    verdict = Text("PASSED" if card.passed else "FAILED", style="bold green" if card.passed else "bold red")
    verdict.append(f"   score {card.score:.2f}", style="bold")
    reasons = [Text(f"- {failure}", style="red") for failure in card.failures]
    border = "green" if card.passed else "red"
    console.print(Panel(Group(verdict, *reasons, _table(card)), title=card.title, border_style=border))


def scorecard_json(card: Scorecard) -> dict[str, Any]:
    """Return the scorecard as plain values; times in `times` are real seconds, in `parts` production ones."""
    return asdict(card)


def _table(card: Scorecard) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name, justify in (("part", "left"), ("measured", "right"), ("allowed", "right"), ("weight", "right")):
        table.add_column(name, justify="left" if justify == "left" else "right")
    table.add_column("score", justify="right")
    for part in card.parts:
        objective = "" if part.objective_seconds is None else format_duration(part.objective_seconds)
        measured = "" if part.measured_seconds is None else format_duration(part.measured_seconds)
        if part.objective_seconds is not None and part.measured_seconds is None:
            measured = "never"
        style = "" if part.score >= 1 else "yellow" if part.score > 0 else "red"
        table.add_row(part.name, measured, objective, f"{part.weight:g}", f"{part.score:.2f}", style=style)
    return table
