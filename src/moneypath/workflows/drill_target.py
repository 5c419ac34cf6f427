"""Run a drill on a deployed service that has a target's file."""

from collections.abc import Callable
from pathlib import Path

from moneypath.incidents.events import Event
from moneypath.stack.folders import private_files
from moneypath.target.conformance.finding import ContractState
from moneypath.target.conformance.look import check_environment, prometheus_of
from moneypath.target.errors import NotDrillable
from moneypath.target.exchange import Exchange
from moneypath.target.loader import Target
from moneypath.workflows.declaration import load_declaration
from moneypath.workflows.drill import load_drill, run_and_score, service_of_target
from moneypath.workflows.drill_stack import BUNDLE, DrillResult
from moneypath.workflows.evidence_sealing import UNSEALED, SealPlan
from moneypath.workflows.folders import new_run_folder
from moneypath.workflows.peak_memory import PeakMemory


async def exchange_to_break(target: Target, environment: str | None) -> Exchange:
    """Return an exchange with a target that may be broken, which its file and its alerts both say.

    Raises NotDrillable, and what the target raises.
    """
    if environment is None:
        raise NotDrillable(
            f"{target.file}: nobody named the environment that may be broken.",
            hint=f"Name the one that you mean: --environment {target.document.environment}.",
        )
    target.require_drillable(environment)
    exchange = Exchange.of(target)
    # The file's word alone is not enough: a variable may name the servers of another environment.
    await _require_environment(exchange, {ContractState.HOLDS})
    return exchange


async def exchange_to_read(target: Target, environment: str | None) -> Exchange:
    """Return an exchange with a target that is read and not broken; it needs no environment.

    Raises NotDrillable when one is named that is not the target's, or its alerts are those of another one.
    """
    if environment is not None:
        target.require_environment(environment)
    exchange = Exchange.of(target)
    # Without an Alertmanager nobody can tell.
    await _require_environment(exchange, {ContractState.HOLDS, ContractState.MISSING})
    return exchange


async def _require_environment(exchange: Exchange, allowed: set[ContractState]) -> None:
    seen = await check_environment(exchange)
    if seen.state not in allowed:
        raise NotDrillable(
            f"{exchange.target.file}: {exchange.access.masked(seen.sentence)}",
            hint="Set `environment` as an external label of Prometheus: docs/guides/targets.md says how.",
        )


async def drill_on_target(
    project: Path,
    drill_file: Path,
    target: Target,
    environment: str | None,
    listener: Callable[[Event], None],
    *,
    plan: SealPlan = UNSEALED,
    scale: int | None = None,
) -> DrillResult:
    """Run the drill of `drill_file` on a deployed service, which keeps running; `plan` seals the evidence.

    `scale` replaces that of the drill's file; it has to be that of the rules that the service is watched by.
    """
    path = load_declaration(project)
    drill = load_drill(project, drill_file, path, scale=scale, target=target.document)
    exchange = await exchange_to_break(target, environment)
    service = service_of_target(exchange, await prometheus_of(exchange))
    bundle = new_run_folder(drill_file.stem) / BUNDLE
    memory = PeakMemory()
    with private_files():
        async with memory.sampling():
            card = await run_and_score(drill, project, service, bundle, listener, plan=plan)
    return DrillResult(card, bundle, memory.peak_bytes)
