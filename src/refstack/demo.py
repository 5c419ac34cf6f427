"""The demo: run the outage drill, and check every query of the Grafana board while the load still flows."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from moneypath.incidents.events import Event
from moneypath.incidents.timeline import Kind
from moneypath.stack.starters import LiveStack
from moneypath.workflows.board import BoardResult, check_board
from moneypath.workflows.drill_stack import DrillObserver, DrillResult, drill_on_own_stack
from moneypath.workflows.evidence_sealing import UNSEALED, SealPlan
from refstack.live_stack import REFERENCE

DRILL_FILE: Final = "drills/drill-002-partial-provider-outage.yaml"


@dataclass(frozen=True, slots=True)
class DemoResult:
    """The drill's result; `board` is missing when the drill did not come to the end of its runbook."""

    drill: DrillResult
    board: BoardResult | None

    @property
    def passed(self) -> bool:
        """Whether the drill passed and every query of the board did what it is there for."""
        return self.drill.card.passed and (self.board is None or self.board.passed)


class BoardCheck:
    """Asks every query of the board once, when the runbook has ended and the load still flows."""

    def __init__(self, project: Path, observer: DrillObserver) -> None:
        self._project, self._observer = project, observer
        self._prometheus_url = ""
        self._asking: asyncio.Task[BoardResult] | None = None

    @property
    def observer(self) -> DrillObserver:
        """Return the observer of the drill: it hands everything on, and begins to ask when it is time."""
        return replace(self._observer, ready=self._ready, event=self._event)

    async def result(self) -> BoardResult | None:
        """Return what the queries came to; None when it was never time to ask."""
        return None if self._asking is None else await self._asking

    def _ready(self, live: LiveStack) -> None:
        self._prometheus_url = live.endpoints.prometheus
        self._observer.ready(live)

    def _event(self, event: Event) -> None:
        self._observer.event(event)
        if event.kind == Kind.RUNBOOK_ENDED and self._asking is None:
            self._asking = asyncio.create_task(check_board(self._project, self._prometheus_url), name="board")


async def run_demo(
    project: Path,
    run_folder: Path,
    observer: DrillObserver,
    *,
    afterwards: Callable[[DemoResult], Awaitable[None]] | None = None,
    plan: SealPlan = UNSEALED,
) -> DemoResult:
    """Run the demo's drill on a stack of its own; the stack stays up until `afterwards` returns."""
    board = BoardCheck(project, observer)

    async def keep(result: DrillResult) -> None:
        if afterwards is not None:
            await afterwards(DemoResult(result, await board.result()))

    drill = await drill_on_own_stack(
        project,
        project / DRILL_FILE,
        run_folder,
        board.observer,
        starter=REFERENCE,
        afterwards=None if afterwards is None else keep,
        plan=plan,
    )
    return DemoResult(drill, await board.result())
