"""Run one drill on a live money path, from file to scorecard."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from moneypath import runbooks
from moneypath.alerting.business_metrics import BusinessMetric, business_metrics
from moneypath.alerting.history import window_fill_query
from moneypath.alerting.names import alert_names, paged_roles
from moneypath.alerting.objective_counts import ObjectiveCounts, objective_counts
from moneypath.alerting.timing import Scale
from moneypath.drills.expected import Expect
from moneypath.drills.faults import FaultControlFailed, find_fault
from moneypath.drills.pass_criteria import NOT_KNOWN
from moneypath.drills.runner import DrillEnvironment, run_drill
from moneypath.drills.scenario import EffectiveWhen, Scenario, load_scenario
from moneypath.drills.scoring import Scorecard, score
from moneypath.drills.service import DrilledService
from moneypath.drills.stack_service import StackService
from moneypath.drills.target_service import TargetService
from moneypath.drills.target_witnesses import TargetWitnesses
from moneypath.drills.timeline_entry import TargetKind
from moneypath.errors import MoneypathError
from moneypath.incidents.events import Event, EventLog
from moneypath.incidents.evidence_files import EVENTS
from moneypath.path.model import MoneyPath
from moneypath.path.source import DeclarationIssues
from moneypath.prometheus import Prometheus
from moneypath.runbooks import OperatorAction
from moneypath.runbooks.queries import read
from moneypath.stack.endpoints import Endpoints
from moneypath.target.document import TargetFile
from moneypath.target.exchange import Exchange
from moneypath.workflows.evidence_bundle import write_bundle
from moneypath.workflows.evidence_sealing import UNSEALED, SealPlan, seal
from moneypath.workflows.known_series import known_series
from moneypath.workflows.metric_witness import MAX_ANSWER_BYTES, MetricWitness
from moneypath.workflows.past_traffic import require_matching_past
from moneypath.workflows.targets import exchange_with_stack, known_faults


class DrillMismatch(MoneypathError):
    """A drill that does not fit its money path."""

    code = "drill_mismatch"


@dataclass(frozen=True, slots=True)
class Drill:
    """A drill file with its runbook, checked against the declaration."""

    file: Path
    scenario: Scenario
    runbook: runbooks.Runbook
    window_fill: str
    reporting_currency: str
    business_metrics: tuple[BusinessMetric, ...]
    objectives: tuple[ObjectiveCounts, ...]
    path: MoneyPath


def load_drill(
    project: Path,
    file: Path,
    path: MoneyPath,
    *,
    scale: int | None = None,
    target: TargetFile | None = None,
) -> Drill:
    """Load a drill and its runbook; raises DeclarationInvalid or DrillMismatch.

    `scale` replaces the scale of the file. Its faults are those of `target`, or of a target of the project.

    A drill that expects an unknown alert could never pass, and one that forbids it could never fail. A query
    on an unknown series would never find anything.
    """
    scenario = _at_scale(file, load_scenario(file), scale)
    expect, alerts = scenario.expect, alert_names(path)
    named = {
        "alert": ({one.name for one in expect.known_alerts} | set(expect.no_alerts), alerts),
        "role": (
            {page.role for page in expect.pages}
            | {role for one in expect.allowed_alerts for role in one.pages},
            frozenset(path.paged_roles()),
        ),
        "objective": (set(expect.harmed_objectives), frozenset(slo.id for slo in path.slos)),
        "provider": (
            {
                step.target
                for step in scenario.timeline
                if step.target and step.target_kind is TargetKind.PROVIDER
            }
            | {alert.labels["provider"] for alert in expect.alerts if "provider" in alert.labels},
            frozenset(path.provider_ids()),
        ),
        "fault": (
            {step.fault for step in scenario.timeline if step.fault and step.target_kind is TargetKind.OWN},
            known_faults(project) if target is None else target.fault_names,
        ),
    }
    for what, (used, known) in named.items():
        for name in sorted(used - known):
            raise DrillMismatch(
                f"{file}: unknown {what}: {name}", hint=f"Name one of these: {', '.join(sorted(known))}."
            )
    page = runbooks.load(project / "runbooks" / f"{scenario.runbook}.md")
    held = [step for step in page.steps if step.approval is not runbooks.Approval.NONE]
    if held and not any(responder.approves for responder in scenario.responders.values()):
        raise DrillMismatch(
            f"{file}: nobody approves step {held[0].id} of {page.id}",
            hint="Let a responder who does not follow the runbook approve: `approves: true`.",
        )
    _refuse_other_pages(file, expect, path)
    queries = [(condition.id, condition.query) for condition in scenario.conditions]
    for what, query in (*queries, (expect.harm.id, expect.harm.hold.counter)):
        for name in sorted(read(query).series - known_series(path)):
            raise DrillMismatch(
                f"{file}: unknown series in {what}: {name}",
                hint="Name a series of the catalogue, or one that a recording rule of moneypath.yaml writes.",
            )
    fill = window_fill_query(path, Scale(scenario.clock.scale))
    return Drill(
        file,
        scenario,
        page,
        fill,
        path.reporting_currency,
        business_metrics(path),
        objective_counts(path),
        path,
    )


def _at_scale(file: Path, scenario: Scenario, scale: int | None) -> Scenario:
    try:
        return scenario if scale is None else scenario.at_scale(scale)
    except DeclarationIssues as error:
        raise DrillMismatch(
            f"{file}: does not run at scale {scale}: {'; '.join(issue.what for issue in error.issues)}",
            hint=f"Run it at the scale of the file, {scenario.clock.scale}, or one nearer to it.",
        ) from None


def _refuse_other_pages(file: Path, expect: Expect, path: MoneyPath) -> None:
    """Raise DrillMismatch when a drill expects other pages of an alert than the alert sends."""
    sent = paged_roles(path)
    for alert in dict.fromkeys(one.name for one in expect.alerts):
        expected = frozenset(page.role for page in expect.pages if page.alert == alert)
        if expected != sent.get(alert, frozenset()):
            raise DrillMismatch(
                f"{file}: expect.pages: {alert} to {', '.join(sorted(expected)) or 'nobody'}; "
                f"it pages {', '.join(sorted(sent.get(alert, ()))) or 'nobody'}",
                hint="Name every role that the alert pages, and no other.",
            )


async def run_and_score(
    drill: Drill,
    project: Path,
    service: DrilledService,
    folder: Path,
    listener: Callable[[Event], None],
    *,
    actions: Mapping[str, OperatorAction] | None = None,
    plan: SealPlan = UNSEALED,
) -> Scorecard:
    """Run the drill on `service`, score its log, write the evidence into `folder`, and seal it by `plan`.

    `actions` replace the operator actions of the same names.
    """
    scenario = drill.scenario
    _refuse_mismatches(drill, service)
    prometheus = service.prometheus
    await require_matching_past(
        replace(prometheus, max_answer_bytes=MAX_ANSWER_BYTES),
        drill.path,
        scale=scenario.clock.scale,
        checkouts_per_second=scenario.load.checkouts_per_second,
        now=time.time(),
    )
    own_actions = runbooks.target_actions(service.exchange)
    log = EventLog(folder / EVENTS)
    log.listen(listener)
    log.listen(plan.anchor_start())
    environment = DrillEnvironment(
        service=service,
        runbook=drill.runbook,
        actions={**own_actions, **(actions or {})},
        query=runbooks.dilated(prometheus.query, Scale(drill.scenario.clock.scale)),
        window_fill=drill.window_fill,
        folder=folder,
        reporting_currency=drill.reporting_currency,
        business_metrics=drill.business_metrics,
        objectives=drill.objectives,
    )
    text = drill.file.read_text(encoding="utf-8")
    try:
        await run_drill(drill.scenario, text, environment, log)
    finally:
        log.close()
    card = score(log.events)
    sources = {"scenario": drill.file, "runbook": drill.runbook.file}
    write_bundle(folder, project, sources, log.events, card)
    await seal(folder, plan)
    return card


def service_of_stack(
    project: Path, drill: Drill, endpoints: Endpoints, *, fresh: bool = False
) -> DrilledService:
    """Return what a drill needs of a running stack, by the file of the target that it is.

    On a `fresh` stack nobody has sent payments yet. A target that names its witnesses is audited by them; one
    that does not is a stack whose books we know.
    """
    exchange = exchange_with_stack(project, endpoints)
    exchange.target.require_drillable(exchange.target.document.environment)
    if exchange.target.document.witnesses is not None:
        return service_of_target(exchange, Prometheus(endpoints.prometheus))
    metrics = MetricWitness(drill.path, endpoints, fresh=fresh)
    return StackService(project, endpoints, exchange, metrics)


def service_of_target(exchange: Exchange, prometheus: Prometheus) -> DrilledService:
    """Return what a drill needs of any service that has a target's file."""
    return TargetService(exchange, prometheus, TargetWitnesses(exchange.target))


def _refuse_mismatches(drill: Drill, service: DrilledService) -> None:
    """Raise DrillMismatch for what the drill needs and its target lacks, before anything is broken."""
    document, file = service.exchange.target.document, drill.file
    for step in drill.scenario.timeline:
        if not step.fault:
            continue
        if step.target_kind is TargetKind.TRAFFIC:
            if isinstance(service, TargetService):
                raise DrillMismatch(
                    f"{file}: {step.fault} is traffic, which nobody sends to {document.target}",
                    hint="Declare a fault of another name, with a command, in the target's file.",
                )
            continue
        try:
            find_fault(document, step)
        except FaultControlFailed as error:
            raise DrillMismatch(f"{file}: {error.what}", hint=error.hint) from None
    if isinstance(service, TargetService) and (missing := lacks(drill, document)):
        raise DrillMismatch(
            f"{file}: the target {document.target} lacks {', '.join(missing)}",
            hint=f"Write it into {service.exchange.target.file}: docs/guides/targets.md says how.",
        )


def lacks(drill: Drill, document: TargetFile) -> list[str]:
    """Return the keys that a drill needs of a deployed service and that its target's file does not have.

    Raises FaultControlFailed for a fault that the file does not have at all.
    """
    scenario = drill.scenario
    missing = {}
    for step in scenario.timeline:
        if step.fault and step.target_kind is not TargetKind.TRAFFIC:
            faults, _ = find_fault(document, step)
            family = step.fault.partition(".")[0]
            missing[f"faults.{family}.hits"] = (
                faults.hits is None and scenario.effective_when is EffectiveWhen.TARGET_HIT
            )
    missing |= {
        "look.pages": document.look.pages is None,
        "look.acknowledge": document.look.acknowledge is None,
        "load": document.load is None,
        "canary": document.canary is None and scenario.effective_when is EffectiveWhen.CANARY_HARMED,
        "witnesses": document.witnesses is None and scenario.expect.ledger_truth != NOT_KNOWN,
    }
    for each in drill.runbook.steps:
        if each.is_action and each.instruction:
            name = each.instruction[0]
            action = document.actions.get(name)
            missing[f"actions.{name}"] = action is None
            missing[f"actions.{name}.promise"] = action is not None and action.promise is None
    return [name for name, is_missing in missing.items() if is_missing]
