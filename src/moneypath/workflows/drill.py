"""Run one drill on a live money path, from file to scorecard."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from moneypath import runbooks
from moneypath.alerting.business_metrics import BusinessMetric, business_metrics
from moneypath.alerting.history import window_fill_query
from moneypath.alerting.names import alert_names, paged_roles
from moneypath.alerting.objective_counts import ObjectiveCounts, objective_counts
from moneypath.alerting.timing import Scale
from moneypath.drills.expected import Expect
from moneypath.drills.runner import DrillEnvironment, run_drill
from moneypath.drills.scenario import Scenario, load_scenario
from moneypath.drills.scoring import Scorecard, score
from moneypath.errors import MoneypathError
from moneypath.incidents.events import Event, EventLog, EventLogBroken, read_events
from moneypath.path.model import MoneyPath
from moneypath.prometheus import Prometheus
from moneypath.runbooks import OperatorAction
from moneypath.runbooks.queries import read
from moneypath.stack.endpoints import Endpoints
from moneypath.workflows.known_series import known_series

EVENTS: Final = "events.jsonl"
SCORECARD: Final = "scorecard.json"
MANIFEST: Final = "manifest.json"


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


def load_drill(project: Path, file: Path, path: MoneyPath) -> Drill:
    """Load a drill and its runbook; raises DeclarationInvalid or DrillMismatch.

    A drill that expects an unknown alert could never pass, and one that forbids it could never fail. A query
    on an unknown series would never find anything.
    """
    scenario = load_scenario(file)
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
            {step.target for step in scenario.timeline if step.target}
            | {alert.labels["provider"] for alert in expect.alerts if "provider" in alert.labels},
            frozenset(path.provider_ids()),
        ),
    }
    for what, (used, known) in named.items():
        for name in sorted(used - known):
            raise DrillMismatch(
                f"{file}: unknown {what}: {name}", hint=f"Name one of these: {', '.join(sorted(known))}."
            )
    _refuse_other_pages(file, expect, path)
    queries = [(condition.id, condition.query) for condition in scenario.conditions]
    for what, query in (*queries, (expect.harm.id, expect.harm.hold.counter)):
        for name in sorted(read(query).series - known_series(path)):
            raise DrillMismatch(
                f"{file}: unknown series in {what}: {name}",
                hint="Name a series of the catalogue, or one that a recording rule of moneypath.yaml writes.",
            )
    page = runbooks.load(project / "runbooks" / f"{scenario.runbook}.md")
    fill = window_fill_query(path, Scale(scenario.clock.scale))
    return Drill(
        file, scenario, page, fill, path.reporting_currency, business_metrics(path), objective_counts(path)
    )


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
    endpoints: Endpoints,
    folder: Path,
    listener: Callable[[Event], None],
    *,
    actions: Mapping[str, OperatorAction] | None = None,
) -> Scorecard:
    """Run the drill, score its log, and write the evidence bundle into `folder`.

    `actions` replace the operator actions of the same names.
    """
    own_actions = runbooks.http_operator_actions(
        endpoints.refpay, endpoints.secrets_folder / "operations_client"
    )
    log = EventLog(folder / EVENTS)
    log.listen(listener)
    environment = DrillEnvironment(
        project=project,
        endpoints=endpoints,
        runbook=drill.runbook,
        actions={**own_actions, **(actions or {})},
        query=runbooks.dilated(Prometheus(endpoints.prometheus).query, Scale(drill.scenario.clock.scale)),
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
    _bundle(folder, drill, card)
    return card


def verify(folder: Path) -> Scorecard:
    """Check every hash of a bundle and score it again; the first difference raises EventLogBroken."""
    card = _score_again(folder / EVENTS)
    manifest = _read_json(folder / MANIFEST)
    digests = manifest.get("files")
    for name in (EVENTS, SCORECARD):
        if not isinstance(digests, dict) or digests.get(name) != _digest(folder / name):
            raise EventLogBroken(
                f"{name} is not the file that the manifest names", hint="Run the drill again."
            )
    recorded = _read_json(folder / SCORECARD)
    again = json.loads(json.dumps(asdict(card)))
    for key, value in again.items():
        if recorded.get(key) != value:
            raise EventLogBroken(
                f"{SCORECARD}: {key} is {recorded.get(key)!r}, the events give {value!r}",
                hint="Run the drill again.",
            )
    return card


def _score_again(file: Path) -> Scorecard:
    try:
        return score(read_events(file))
    except MoneypathError:
        raise
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        # Whoever edits a log can also seal it again, so what is in it may be of any shape.
        raise EventLogBroken(
            f"{file.name} holds what no drill writes: {type(error).__name__}: {error}",
            hint="Run the drill again: this log proves nothing.",
        ) from None


def _bundle(folder: Path, drill: Drill, card: Scorecard) -> None:
    (folder / SCORECARD).write_text(json.dumps(asdict(card), indent=2), encoding="utf-8")
    files = {name: _digest(folder / name) for name in (EVENTS, SCORECARD)}
    sources = {"scenario": _digest(drill.file), "runbook": _digest(drill.runbook.file)}
    manifest = {"drill": drill.file.stem, "files": files, "sources": sources}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2), encoding="utf-8")


def _digest(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise EventLogBroken(
            f"bundle is incomplete: {file.name} ({error.strerror})",
            hint="Name the folder of a finished drill.",
        ) from None


def _read_json(file: Path) -> dict[str, Any]:
    why_not = "no object"
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        content, why_not = None, type(error).__name__
    if not isinstance(content, dict):
        raise EventLogBroken(
            f"bundle is incomplete: {file.name} ({why_not})", hint="Name the folder of a finished drill."
        )
    return content
