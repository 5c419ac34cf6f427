"""A stack that stays up, and what other processes do with it."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from moneypath import runbooks
from moneypath.drills.faults import FaultControl
from moneypath.errors import MoneypathError
from moneypath.incidents.events import Event
from moneypath.path.loader import FILE_NAME, load
from moneypath.runbooks.context import mint_key
from moneypath.stack.endpoints import Endpoints
from moneypath.workflows.demo import BUNDLE, DrillResult, PeakMemory, Viewer, unless_server_dies
from moneypath.workflows.drill import DrillMismatch, conduct, load_drill
from moneypath.workflows.folders import new_run_folder
from moneypath.workflows.live import LiveSettings, running

LEVER_SECONDS = 10.0


async def keep_up(project: Path, run_folder: Path, scale: int, viewer: Viewer) -> None:
    """Start a stack and keep it until cancelled; raises ServerDied when a part of it ends by itself."""
    settings = LiveSettings(load(project / FILE_NAME), run_folder, scale)
    async with running(settings, viewer.announce) as live:
        viewer.ready(live)
        viewer.announce(f"run folder: {run_folder}")
        await unless_server_dies(live.supervisor, asyncio.Event().wait())


async def drill_on(
    project: Path, drill_file: Path, run_folder: Path, listener: Callable[[Event], None]
) -> DrillResult:
    """Run a drill on the stack of `run_folder`, which another process keeps up."""
    endpoints = Endpoints.load(run_folder)
    path = load(project / FILE_NAME)
    drill = load_drill(project, drill_file, path)
    if drill.scenario.clock.scale != endpoints.scale:
        raise DrillMismatch(
            f"{drill_file}: clock.scale is {drill.scenario.clock.scale}, the stack runs at {endpoints.scale}",
            hint=f"start a stack for it: moneypath stack up --scale {drill.scenario.clock.scale}",
        )
    bundle = new_run_folder(drill_file.stem) / BUNDLE
    memory = PeakMemory()
    async with memory.sampling():
        card = await conduct(drill, project, endpoints, bundle, listener)
    return DrillResult(card, bundle, memory.peak_bytes)


async def panic(run_folder: Path, tell: Callable[[str], None]) -> None:
    """End every fault of every provider, then route every provider; `tell` hears what was done.

    Everything is tried before what failed is raised, as a group of MoneypathErrors.
    """
    endpoints = Endpoints.load(run_folder)
    failures: list[MoneypathError] = []
    for name, url in endpoints.acquirers.items():
        try:
            tell(f"{name}: {await _end_faults(name, url, endpoints)} faults ended")
        except MoneypathError as error:
            failures.append(error)
    levers = runbooks.http_levers(endpoints.refpay, endpoints.secrets_folder / "operations_client")
    for name in endpoints.acquirers:
        call = runbooks.LeverCall("provider.restore", (name,), mint_key(), "panic", LEVER_SECONDS)
        try:
            answer = await levers["provider.restore"](call)
            tell(f"{name}: routed{'' if answer.get('changed') else ' already'}")
        except MoneypathError as error:
            failures.append(error)
    if failures:
        raise ExceptionGroup("not everything was undone", failures)


async def _end_faults(name: str, url: str, endpoints: Endpoints) -> int:
    async with FaultControl(name, url, endpoints.secrets_folder / f"{name}_control_token") as control:
        active = await control.active()
        await control.end_all()
    return len(active)
