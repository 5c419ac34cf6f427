"""The main job: start everything, run a drill on it, end with its scorecard."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from moneypath.drills.scoring import Scorecard
from moneypath.incidents.events import Event
from moneypath.incidents.timeline import Kind
from moneypath.path.loader import FILE_NAME, load
from moneypath.runbooks import Lever
from moneypath.stack.memory import read_trees
from moneypath.stack.supervisor import Supervisor
from moneypath.workflows.board import BoardResult, check_board
from moneypath.workflows.drill import conduct, load_drill
from moneypath.workflows.live import Announce, Live, LiveSettings, running

MEMORY_EVERY_SECONDS: Final = 2.0
DEATH_REPORTED_WITHIN_SECONDS: Final = 1.0
BUNDLE: Final = "drill"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who looks on: each is called as things happen."""

    announce: Announce
    ready: Callable[[Live], None]
    event: Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class DrillResult:
    """The scorecard, the folder of its evidence, and the most memory of all processes together (PSS).

    `board` is there when the board was to be proven and the drill came as far as the end of its runbook.
    """

    card: Scorecard
    bundle: Path
    peak_memory_bytes: int
    board: BoardResult | None = None

    @property
    def passed(self) -> bool:
        """Whether the drill passed, and the board showed what it promises if it was asked to."""
        return self.card.passed and (self.board is None or self.board.passed)


class PeakMemory:
    """Samples the proportional set size of this process and all below it, and keeps the highest sum."""

    def __init__(self) -> None:
        self.peak_bytes = 0

    @contextlib.asynccontextmanager
    async def sampling(self) -> AsyncIterator[None]:
        """Sample while the block runs."""
        task = asyncio.create_task(self._sample(), name="memory")
        try:
            yield
        finally:
            task.cancel()
            (ended,) = await asyncio.gather(task, return_exceptions=True)
        if isinstance(
            ended, Exception
        ):  # not the cancellation: a sampler that broke must not read as a low peak
            raise ended

    async def _sample(self) -> None:
        while True:
            readings = await asyncio.to_thread(read_trees, {"all": os.getpid()})
            self.peak_bytes = max(self.peak_bytes, readings["all"].pss_bytes)
            await asyncio.sleep(MEMORY_EVERY_SECONDS)


class BoardWatch:
    """Asks every query of the board once, when the runbook has ended and the load still flows."""

    def __init__(self, project: Path, prometheus_url: str, viewer: Viewer) -> None:
        self._project, self._url, self._viewer = project, prometheus_url, viewer
        self._asking: asyncio.Task[BoardResult] | None = None

    def event(self, event: Event) -> None:
        """Hand an event on, and begin to ask when it is time."""
        self._viewer.event(event)
        if event.kind == Kind.RUNBOOK_ENDED and self._asking is None:
            self._asking = asyncio.create_task(check_board(self._project, self._url), name="board")

    async def result(self) -> BoardResult | None:
        """Return what came of it; None if there was nothing to begin with."""
        return None if self._asking is None else await self._asking


async def drill_on_own_stack(
    project: Path,
    drill_file: Path,
    run_folder: Path,
    viewer: Viewer,
    *,
    afterwards: Callable[[DrillResult], Awaitable[None]] | None = None,
    levers: Mapping[str, Lever] | None = None,
    prove_board: bool = False,
) -> DrillResult:
    """Start a stack at the drill's scale, run the drill, await `afterwards`, stop the stack.

    With `prove_board` every query of the Grafana board is asked of the running Prometheus.
    """
    path = load(project / FILE_NAME)
    drill = load_drill(project, drill_file, path)
    scenario = drill.scenario
    settings = LiveSettings(path, run_folder, scenario.clock.scale, scenario.load.checkouts_per_second)
    async with running(settings, viewer.announce) as live:
        viewer.ready(live)
        memory = PeakMemory()
        bundle = run_folder / BUNDLE
        board = BoardWatch(project, live.endpoints.prometheus, viewer)
        listener = board.event if prove_board else viewer.event
        async with memory.sampling():
            running_drill = conduct(drill, project, live.endpoints, bundle, listener, levers=levers)
            card = await unless_server_dies(live.supervisor, running_drill)
        result = DrillResult(card, bundle, memory.peak_bytes, await board.result())
        if afterwards is not None:
            await unless_server_dies(live.supervisor, afterwards(result))
        return result


async def unless_server_dies(supervisor: Supervisor, work: Awaitable[T]) -> T:
    """Return what `work` returns; a server that ends and that nobody stopped ends it with ServerDied."""
    working = asyncio.ensure_future(work)
    watching = asyncio.create_task(supervisor.watch(), name="servers")
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if working.done() and not working.cancelled() and working.exception() is not None:
            # "Prometheus does not answer" is often how its death is seen first; the cause comes just after.
            await asyncio.wait({watching}, timeout=DEATH_REPORTED_WITHIN_SECONDS)
            if watching.done():
                watching.result()
        if not working.done():
            watching.result()
        return await working
    finally:
        for task in (working, watching):
            task.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)
