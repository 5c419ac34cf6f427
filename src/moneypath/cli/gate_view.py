"""Show the progress of a release gate, and its scorecard."""

import sys
import time
from collections.abc import Sequence
from typing import Final, Self

from rich.console import Group
from rich.panel import Panel
from rich.status import Status as Spinner
from rich.table import Table
from rich.text import Text

from moneypath.capacity.figures import WindowCounts
from moneypath.capacity.gate_file import Gate
from moneypath.capacity.observation import CriterionResult, CriterionStatus
from moneypath.capacity.verdict import GateOutcome, ReleaseVerdict
from moneypath.cli.live_view import PIPE_WIDTH, home_relative
from moneypath.cli.pipe_safe_console import PipeSafeConsole
from moneypath.path.durations import format_duration
from moneypath.workflows.gate import GateResult
from moneypath.workflows.gate_run import GateObserver
from moneypath.workflows.gate_target import TargetGateResult

STYLES: Final = {
    GateOutcome.PASSED: "green",
    GateOutcome.FAILED: "red",
    GateOutcome.INCONCLUSIVE: "yellow",
}
MARKS: Final = {
    CriterionStatus.MET: ("met", "green"),
    CriterionStatus.BROKEN: ("BROKEN", "bold red"),
    CriterionStatus.UNKNOWN: ("UNKNOWN", "bold red"),
    CriterionStatus.UNMEASURED: ("not measured", "dim"),
    CriterionStatus.INCONCLUSIVE: ("INCONCLUSIVE", "bold yellow"),
}
# Where there is no spinner, a line of progress now and then is enough.
PROGRESS_EVERY_SECONDS: Final = 20.0


class _Progress:
    """Prints what begins to standard output, and turns a spinner meanwhile; prints nothing when `quiet`."""

    def __init__(self, *, quiet: bool) -> None:
        self._console = PipeSafeConsole(
            quiet=quiet, highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH
        )
        self._begun = time.monotonic()
        self._spinner: Spinner | None = None
        if self._console.is_terminal and not quiet:
            self._spinner = self._console.status("starting the servers")

    def __enter__(self) -> Self:
        if self._spinner is not None:
            self._spinner.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._spinner is not None:
            self._spinner.stop()

    def _print_end(self, result: GateResult | TargetGateResult) -> None:
        spent = ", ".join(f"{name} {seconds:.0f}" for name, seconds in result.phases.items())
        self._console.print(f"wall time  {format_duration(result.seconds)} (seconds: {spent})")
        self._console.print(f"evidence   {home_relative(result.folder)}", soft_wrap=True, markup=False)

    def announce(self, text: str) -> None:
        """Print what begins, and since when the gate runs."""
        if self._spinner is not None:
            self._spinner.update(text)
        since = time.monotonic() - self._begun
        self._console.print(f"{since:6.1f} s  {text}", style="dim", soft_wrap=True, markup=False)


class GateView(_Progress):
    """Prints progress and the scorecard to standard output; prints nothing when `quiet`."""

    def __init__(self, gate: Gate, *, quiet: bool) -> None:
        super().__init__(quiet=quiet)
        self._gate = gate
        self._progress_at = 0.0

    @property
    def observer(self) -> GateObserver:
        """Return the callbacks of this view."""
        return GateObserver(announce=self.announce, measured=self._measured)

    def show(self, result: GateResult) -> None:
        """Print the scorecard, how long it took, and where the evidence is."""
        verdict = result.verdict
        style = STYLES[verdict.outcome]
        head = [Text(verdict.outcome.upper(), style=f"bold {style}")]
        head[0].append(f"   {verdict.build}", style="bold")
        if verdict.ended_early:
            head.append(Text(f"ended early: {verdict.ended_early}", style=style))
        self._console.print(
            Panel(
                Group(*head, _window(verdict), _table(verdict.results)),
                title=verdict.title,
                border_style=style,
            )
        )
        self._print_end(result)

    def _measured(self, seconds: float, counted: WindowCounts) -> None:
        words = f"measured {seconds:.0f} of {self._gate.duration:g} s: {_so_far(counted)}"
        if self._spinner is not None:
            self._spinner.update(words)
        elif seconds - self._progress_at >= PROGRESS_EVERY_SECONDS:
            self._progress_at = seconds
            self.announce(words)


class TargetGateView(_Progress):
    """Prints the progress of a gate on a deployed service, and its scorecard."""

    def show(self, result: TargetGateResult) -> None:
        """Print the scorecard, how long it took, and where the evidence is."""
        verdict = result.verdict
        style = STYLES[verdict.outcome]
        head = Text(verdict.outcome.upper(), style=f"bold {style}")
        head.append(f"   {verdict.build}", style="bold")
        panel = Panel(Group(head, _table(verdict.results)), title=verdict.title, border_style=style)
        self._console.print(panel)
        self._print_end(result)


def _so_far(counted: WindowCounts) -> str:
    parts = []
    asked = counted.authorizations
    if asked is not None:
        parts.append(f"{asked.valid:.0f} authorizations, {asked.bad:.0f} bad")
    p99 = None if counted.latency is None else counted.latency.quantile(0.99)
    if p99 is not None:
        parts.append(f"p99 {p99 * 1000:.0f} ms")
    if counted.postings is not None:
        parts.append(f"{counted.postings:.0f} postings")
    return ", ".join(parts) or "nothing could be read yet"


def _window(verdict: ReleaseVerdict) -> Text:
    window = verdict.figures.window
    start, end = (time.strftime("%H:%M:%S", time.gmtime(at)) for at in (window.start, window.end))
    counted = verdict.figures.counted.authorizations
    asked = "unknown" if counted is None else f"{counted.valid:.0f}"
    return Text(
        f"window {start} to {end} UTC, load for {window.asked_seconds:.1f} s of it; {asked} authorizations\n",
        style="dim",
    )


def _table(results: Sequence[CriterionResult]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("measure", "", "seen", "allowed"):
        table.add_column(name, overflow="fold")
    for result in results:
        mark, style = MARKS[result.status]
        name = result.measure.replace("_", " ")
        table.add_row(name, Text(mark, style=style), Text(result.seen), Text(result.allowed, style="dim"))
        for detail in result.details:
            table.add_row(
                "", "", Text(detail, style=style if result.status is CriterionStatus.BROKEN else "dim"), ""
            )
    return table
