"""Run a drill on a stack of its own."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from moneypath.drills.scoring import Scorecard
from moneypath.incidents.events import Event
from moneypath.runbooks import OperatorAction
from moneypath.stack.starters import Announce, Build, LiveStack, LiveStackSettings, Starter
from moneypath.workflows.declaration import load_declaration
from moneypath.workflows.drill import load_drill, run_and_score, service_of_stack
from moneypath.workflows.evidence_sealing import UNSEALED, SealPlan
from moneypath.workflows.peak_memory import PeakMemory
from moneypath.workflows.server_deaths import unless_server_dies
from moneypath.workflows.targets import target_with_witnesses
from moneypath.workflows.trickle import Trickle, checkouts_per_second, flowing

BUNDLE: Final = "drill"


@dataclass(frozen=True, slots=True)
class DrillObserver:
    """Callbacks of an observer: progress, the stack once it is up, and each event of the drill."""

    announce: Announce
    ready: Callable[[LiveStack], None]
    event: Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class DrillResult:
    """The scorecard, the folder of its evidence, and the peak memory of all processes together (PSS)."""

    card: Scorecard
    bundle: Path
    peak_memory_bytes: int


async def drill_on_own_stack(
    project: Path,
    drill_file: Path,
    run_folder: Path,
    observer: DrillObserver,
    *,
    starter: Starter,
    afterwards: Callable[[DrillResult], Awaitable[None]] | None = None,
    actions: Mapping[str, OperatorAction] | None = None,
    plan: SealPlan = UNSEALED,
    build: Build | None = None,
    scale: int | None = None,
) -> DrillResult:
    """Start a stack at the drill's scale, run the drill, await `afterwards`, stop the stack.

    A trickle of checkouts goes on while `afterwards` runs. `actions` replace the operator actions of the
    same names. `plan` seals the evidence. `build` is the service to run instead of the starter's own.
    `scale` replaces that of the drill's file.
    """
    path = load_declaration(project)
    drill = load_drill(project, drill_file, path, scale=scale)
    scenario = drill.scenario
    settings = LiveStackSettings(
        path, run_folder, scenario.clock.scale, scenario.load.checkouts_per_second, build=build
    )
    async with starter.running(settings, observer.announce) as live:
        observer.ready(live)
        memory = PeakMemory()
        bundle = run_folder / BUNDLE
        async with memory.sampling():
            service = service_of_stack(project, drill, live.endpoints, fresh=True)
            drilling = run_and_score(
                drill, project, service, bundle, observer.event, actions=actions, plan=plan
            )
            card = await unless_server_dies(live.supervisor, drilling)
        result = DrillResult(card, bundle, memory.peak_bytes)
        if afterwards is not None:
            rate = checkouts_per_second(path, scenario.clock.scale)
            own = target_with_witnesses(project, live.endpoints)
            async with flowing(Trickle(live.supervisor, project, live.endpoints, rate, own)):
                await unless_server_dies(live.supervisor, afterwards(result))
        return result
