"""The scorecard, for people and for machines."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from moneypath.alerting.business_metrics import BusinessUnit
from moneypath.cli.production_time import AFTER_REPORT, in_production
from moneypath.drills.business import BusinessRow
from moneypath.drills.scoring import Scorecard, ScorePart
from moneypath.incidents.timeline import IncidentTimes
from moneypath.path.durations import format_duration

SINCE_EFFECT: Final = frozenset({"detect", "page", "mitigate", "restore"})
"""The parts that are measured from the fault's effect."""


def show_scorecard(console: Console, card: Scorecard) -> None:
    """Print the scorecard, with failures first."""
    verdict = Text("PASSED" if card.passed else "FAILED", style="bold green" if card.passed else "bold red")
    verdict.append(f"   score {card.score:.2f}", style="bold")
    reasons = [Text(f"- {failure}", style="red") for failure in card.failures]
    border = "green" if card.passed else "red"
    tables = (_table(card), Text(), _business_table(card), Text(real_times(card), style="dim"))
    console.print(Panel(Group(verdict, *reasons, *tables), title=card.title, border_style=border))


def scorecard_json(card: Scorecard) -> dict[str, Any]:
    """Return the scorecard as plain values; times in `times` are real seconds, in `parts` production ones."""
    return asdict(card)


def scorecard_from(document: Mapping[str, Any]) -> Scorecard | None:
    """Return the scorecard that was written as plain values; None for one of other keys than today's."""
    try:
        return Scorecard(
            title=document["title"],
            passed=document["passed"],
            score=document["score"],
            parts=tuple(ScorePart(**part) for part in document["parts"]),
            failures=tuple(document["failures"]),
            times=IncidentTimes(**document["times"]),
            scale=document["scale"],
            business=tuple(BusinessRow(**row) for row in document["business"]),
            waits_for_reports=document.get("waits_for_reports", False),
        )
    except (KeyError, TypeError):
        return None


def real_times(card: Scorecard) -> str:
    """Return which of the scorecard's times are those of production, and which are not."""
    said = "Business metrics are real time."
    if card.waits_for_reports:
        reports = "settlement reports come every few seconds here and once a day in production"
        return f"{said} Times of parts are dilated by {card.scale}, but {reports}."
    return f"{said} Times of parts are {in_production(card.scale)}."


def _table(card: Scorecard) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name, justify in (("part", "left"), ("measured", "right"), ("allowed", "right"), ("weight", "right")):
        table.add_column(name, justify="left" if justify == "left" else "right")
    table.add_column("score", justify="right")
    for part in card.parts:
        objective = "" if part.objective_seconds is None else format_duration(part.objective_seconds)
        measured = _measured(card, part)
        if part.objective_seconds is not None and part.measured_seconds is None:
            measured = "never"
        style = "" if part.score >= 1 else "yellow" if part.score > 0 else "red"
        table.add_row(part.name, measured, objective, f"{part.weight:g}", f"{part.score:.2f}", style=style)
    return table


def _measured(card: Scorecard, part: ScorePart) -> str:
    if part.measured_seconds is None:
        return ""
    if card.waits_for_reports and part.name in SINCE_EFFECT:
        return f"{part.measured_seconds / card.scale:.1f} s here, {AFTER_REPORT}"
    return format_duration(part.measured_seconds)


def _business_table(card: Scorecard) -> Table:
    """Return the business metrics; times are real seconds."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("business metric")
    for phase in ("before", "worst during", "after"):
        table.add_column(phase, justify="right")
    for row in card.business:
        values = (row.before, row.during, row.after)
        title = f"{row.title} ({row.currency})" if row.currency else row.title
        table.add_row(title, *(format_value(value, BusinessUnit(row.unit)) for value in values))
    return table


def format_value(value: float | None, unit: BusinessUnit) -> Text:
    """Return a business metric as people read it."""
    if value is None:
        return Text("unknown", style="red")
    match unit:
        case BusinessUnit.SECONDS:
            text = f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s"
        case BusinessUnit.RATIO:
            text = f"{value:.4%}".replace(".0000%", "%")
        case BusinessUnit.MICRO_UNITS:
            text = f"{value / 1_000_000:.4f}"
        case BusinessUnit.COUNT:
            text = f"{value:g}"
    return Text(text)
