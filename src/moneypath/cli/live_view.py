"""Show how a stack starts and a drill runs."""

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

from rich.status import Status
from rich.table import Table
from rich.text import Text

from moneypath.cli.events_view import EventsView
from moneypath.cli.pipe_safe_console import PipeSafeConsole
from moneypath.cli.production_time import AFTER_REPORT, in_production
from moneypath.cli.scorecard_view import show_scorecard
from moneypath.incidents.events import Event
from moneypath.incidents.timeline import Kind
from moneypath.path.durations import format_duration
from moneypath.stack.endpoints import Endpoints
from moneypath.stack.starters import LiveStack
from moneypath.workflows.board import BoardResult
from moneypath.workflows.drill_stack import DrillObserver, DrillResult

PICTURE_WIDTH = 132
PIPE_WIDTH = 160


# What is awaited once an event has happened; shown beside a spinner while nothing else moves.
WAITING_FOR: Final[Mapping[str, str]] = {
    Kind.DRILL_STARTED: "waiting until traffic flows and the state is steady",
    Kind.FAULT_COMMANDED: "waiting until a payment feels the fault",
    Kind.FAULT_EFFECTIVE: "waiting for the alert",
    Kind.ALERT_FIRING: "waiting for the page",
    Kind.PAGE_DELIVERED: "waiting for somebody to acknowledge",
    Kind.RUNBOOK_STEP: "following the runbook",
    Kind.RUNBOOK_ENDED: "waiting until the state is steady again",
    Kind.UNDO: "waiting until the state is steady again",
    Kind.STEADY_STATE: "waiting until every payment is resolved",
    Kind.DRILL_ENDED: "stopping the servers",
}


def addresses(where: Endpoints) -> dict[str, str]:
    """Return what to open in a browser; Debian's Alertmanager has no web pages."""
    return {
        "payment service": f"{where.service}/v1/openapi.json",
        "its metrics": f"{where.service}/metrics",
        "Prometheus": f"{where.prometheus}/",
        "Alertmanager": f"{where.alertmanager}/api/v2/alerts",
        "pages delivered": f"{where.pager}/pages",
    }


def home_relative(path: Path) -> str:
    """Return a path with the home folder as `~`."""
    home = os.environ.get("HOME", "")
    text = str(path)
    return f"~{text.removeprefix(home)}" if len(home) > 1 and text.startswith(f"{home}/") else text


class LiveView:
    """Prints progress and results to standard output; prints nothing when `quiet`."""

    def __init__(self, *, quiet: bool = False, record: bool = False) -> None:
        # A picture has a fixed width; what is no terminal, a file or a pipe, has room for whole lines.
        wide = PICTURE_WIDTH if record else None if sys.stdout.isatty() else PIPE_WIDTH
        self._console = PipeSafeConsole(quiet=quiet, record=record, highlight=False, width=wide)
        self._events = EventsView(self._console)
        self._start = time.monotonic()
        self._waiting: Status | None = None
        if self._console.is_terminal and not (quiet or record):
            self._waiting = self._console.status("starting the servers")

    def __enter__(self) -> Self:
        if self._waiting is not None:
            self._waiting.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._waiting is not None:
            self._waiting.stop()

    @property
    def observer(self) -> DrillObserver:
        """Return the callbacks of this view."""
        return DrillObserver(announce=self._announce, ready=self._ready, event=self._event)

    def _event(self, event: Event) -> None:
        self._events.show(event)
        if self._waiting is not None and event.kind in WAITING_FOR:
            self._waiting.update(WAITING_FOR[event.kind])

    def show_result(self, result: DrillResult, board: BoardResult | None = None) -> None:
        """Print the scorecard, key figures and where the evidence is."""
        card = result.card
        show_scorecard(self._console, card)
        facts = Table.grid(padding=(0, 2))
        if card.times.fault_to_page is not None:
            real = card.times.fault_to_page
            production = f"{format_duration(real * card.scale)} {in_production(card.scale)}"
            said = AFTER_REPORT if card.waits_for_reports else production
            facts.add_row("fault effective to page delivered", f"{real:.1f} s at scale {card.scale} = {said}")
        facts.add_row("memory of all processes (PSS), peak", f"{result.peak_memory_bytes / 1e6:.0f} MB")
        facts.add_row("wall time", f"{time.monotonic() - self._start:.0f} s")
        if board is not None:
            facts.add_row("Grafana board", Text(board.sentence, style="" if board.passed else "bold red"))
        self._console.print(facts)
        for finding in board.findings if board else ():
            self._console.print(f"- {finding.where}: {finding.problem}: {finding.expr}", style="red")
        # Outside the table, which would cut it to the width of the terminal.
        self._console.print(f"evidence  {home_relative(result.bundle)}", soft_wrap=True, markup=False)

    def show_kept(self) -> None:
        """Say that everything stays up."""
        if self._waiting is not None:
            self._waiting.update("running")
        self._console.print("Everything is still running. Ctrl-C stops it.", style="bold")

    def save(self, file: Path) -> None:
        """Write what was printed as an SVG picture."""
        self._console.save_svg(str(file), title="make demo")

    def _announce(self, text: str) -> None:
        self._console.print(f"{time.monotonic() - self._start:6.1f} s  {text}", style="dim", soft_wrap=True)

    def _ready(self, live: LiveStack) -> None:
        table = Table.grid(padding=(0, 2))
        table.add_column()
        table.add_column(overflow="fold")
        for name, url in addresses(live.endpoints).items():
            table.add_row(name, url)
        self._announce("everything is up")
        self._console.print(table)
        if live.not_dilated:
            self._console.print(
                f"Not dilated, whatever the scale: {'; '.join(live.not_dilated)}", style="dim"
            )
        if live.clamped:
            self._console.print(
                f"Windows held at four scrapes, which the scale would shorten: {', '.join(live.clamped)}",
                style="dim",
            )
