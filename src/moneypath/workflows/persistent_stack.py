"""Keep a stack running, and let other processes run drills on it or end its faults."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from moneypath import runbooks
from moneypath.errors import MoneypathError
from moneypath.incidents.events import Event
from moneypath.runbooks.context import new_idempotency_key
from moneypath.stack.endpoints import Endpoints
from moneypath.stack.folders import private_files
from moneypath.stack.starters import LiveStackSettings, Starter
from moneypath.workflows import stack_lock
from moneypath.workflows.declaration import load_declaration
from moneypath.workflows.drill import DrillMismatch, load_drill, run_and_score, service_of_stack
from moneypath.workflows.drill_stack import BUNDLE, DrillObserver, DrillResult
from moneypath.workflows.evidence_sealing import UNSEALED, SealPlan
from moneypath.workflows.folders import new_run_folder
from moneypath.workflows.peak_memory import PeakMemory
from moneypath.workflows.server_deaths import unless_server_dies
from moneypath.workflows.targets import exchange_with_stack, target_with_witnesses
from moneypath.workflows.trickle import Trickle, checkouts_per_second, flowing

ACTION_SECONDS = 10.0


async def keep_stack_running(
    project: Path,
    run_folder: Path,
    scale: int,
    observer: DrillObserver,
    *,
    starter: Starter,
    checkouts: int | None = None,
) -> None:
    """Start a stack, keep checkouts going on it, and wait until cancelled.

    `checkouts` go on a second, and the past that is filled in has as many; without a number, as few as keep
    alerts silent. Raises ServerDied when a part of it ends by itself.
    """
    path = load_declaration(project)
    rate = checkouts or checkouts_per_second(path, scale)
    settings = LiveStackSettings(path, run_folder, scale, rate)
    async with starter.running(settings, observer.announce) as live:
        observer.ready(live)
        observer.announce(f"run folder: {run_folder}")
        observer.announce(f"checkouts go on at {rate} a second, so that the board has data")
        own = target_with_witnesses(project, live.endpoints)
        async with flowing(Trickle(live.supervisor, project, live.endpoints, rate, own)):
            await unless_server_dies(live.supervisor, asyncio.Event().wait())


async def run_drill_on_stack(
    project: Path,
    drill_file: Path,
    run_folder: Path,
    listener: Callable[[Event], None],
    *,
    plan: SealPlan = UNSEALED,
    scale: int | None = None,
) -> DrillResult:
    """Run a drill on the stack of `run_folder`, which another process keeps up.

    `plan` seals its evidence. `scale` replaces that of the drill's file; it has to be the stack's.
    """
    endpoints = Endpoints.load(run_folder)
    path = load_declaration(project)
    drill = load_drill(project, drill_file, path, scale=scale)
    if drill.scenario.clock.scale != endpoints.scale:
        raise DrillMismatch(
            f"{drill_file}: clock.scale is {drill.scenario.clock.scale}, the stack runs at {endpoints.scale}",
            hint=f"Start a stack for it: moneypath stack up --scale {drill.scenario.clock.scale} "
            f"--checkouts {drill.scenario.load.checkouts_per_second}",
        )
    bundle = new_run_folder(drill_file.stem) / BUNDLE
    memory = PeakMemory()
    with private_files(), stack_lock.hold(run_folder):
        async with memory.sampling():
            service = service_of_stack(project, drill, endpoints)
            card = await run_and_score(drill, project, service, bundle, listener, plan=plan)
    return DrillResult(card, bundle, memory.peak_bytes)


async def panic(project: Path, run_folder: Path, tell: Callable[[str], None]) -> None:
    """End every fault at every place, then route to every provider; call `tell` with each thing done.

    Everything is tried before the failures are raised, as a group of MoneypathErrors.
    """
    endpoints = Endpoints.load(run_folder)
    failures: list[MoneypathError] = []
    exchange = exchange_with_stack(project, endpoints)
    for faults in exchange.target.document.faults.values():
        for place in faults.where or (None,):
            try:
                if faults.end_all is not None:
                    await exchange.ask(faults.end_all, place=place)
                    tell(f"{place or exchange.target.document.target}: all faults ended")
            except MoneypathError as error:
                failures.append(error)
    actions = runbooks.target_actions(exchange)
    for name in endpoints.providers:
        call = runbooks.ActionCall(
            "provider.restore", (name,), new_idempotency_key(), "panic", ACTION_SECONDS
        )
        try:
            answer = await actions["provider.restore"](call)
            tell(f"{name}: routed{'' if answer.get('changed') else ' already'}")
        except MoneypathError as error:
            failures.append(error)
    if failures:
        raise ExceptionGroup("not everything was undone", failures)
