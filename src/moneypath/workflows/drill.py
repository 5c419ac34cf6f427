"""One drill from file to scorecard, on a live money path."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from moneypath import runbooks
from moneypath.alerting.history import window_fill_query
from moneypath.alerting.names import alert_names
from moneypath.alerting.timing import Scale
from moneypath.drills.runner import Surroundings, run_drill
from moneypath.drills.scenario import Scenario, load_scenario
from moneypath.drills.scoring import Scorecard, score
from moneypath.errors import MoneypathError
from moneypath.incidents.events import Event, EventLog, EventLogBroken, read_events
from moneypath.path.model import MoneyPath
from moneypath.runbooks import Lever
from moneypath.stack.endpoints import Endpoints

EVENTS: Final = "events.jsonl"
SCORECARD: Final = "scorecard.json"
MANIFEST: Final = "manifest.json"


class DrillMismatch(MoneypathError):
    """A drill that does not fit the money path that it is to be run on."""

    code = "drill_mismatch"


@dataclass(frozen=True, slots=True)
class Drill:
    """A drill file with its runbook, checked against the declaration."""

    file: Path
    scenario: Scenario
    runbook: runbooks.Runbook
    window_fill: str
    reporting_currency: str


def load_drill(project: Path, file: Path, path: MoneyPath) -> Drill:
    """Load a drill and its runbook; raises DeclarationInvalid or DrillMismatch.

    A drill that expects an alert which no rule knows could never pass, and one that forbids such an
    alert could never fail.
    """
    scenario = load_scenario(file)
    expect, alerts = scenario.expect, alert_names(path)
    named = {
        "alert": ({alert.name for alert in expect.alerts} | set(expect.no_alerts), alerts),
        "role": ({page.role for page in expect.pages}, frozenset(path.paged_roles())),
        "provider": (
            {step.target for step in scenario.timeline if step.target}
            | {alert.labels["provider"] for alert in expect.alerts if "provider" in alert.labels},
            frozenset(path.provider_ids()),
        ),
    }
    for what, (used, known) in named.items():
        for name in sorted(used - known):
            raise DrillMismatch(
                f"{file}: unknown {what}: {name}", hint=f"allowed: {', '.join(sorted(known))}"
            )
    page = runbooks.load(project / "runbooks" / f"{scenario.runbook}.md")
    fill = window_fill_query(path, Scale(scenario.clock.scale))
    return Drill(file, scenario, page, fill, path.reporting_currency)


async def conduct(
    drill: Drill,
    project: Path,
    endpoints: Endpoints,
    folder: Path,
    listener: Callable[[Event], None],
    *,
    levers: Mapping[str, Lever] | None = None,
) -> Scorecard:
    """Run the drill, score its log, and leave the bundle in `folder`.

    `levers` replace those levers of the service that have their names.
    """
    own_levers = runbooks.http_levers(endpoints.refpay, endpoints.secrets_folder / "operations_client")
    log = EventLog(folder / EVENTS)
    log.listen(listener)
    around = Surroundings(
        project=project,
        endpoints=endpoints,
        runbook=drill.runbook,
        levers={**own_levers, **(levers or {})},
        query=runbooks.dilated(
            runbooks.prometheus_query(endpoints.prometheus), Scale(drill.scenario.clock.scale)
        ),
        window_fill=drill.window_fill,
        folder=folder,
        reporting_currency=drill.reporting_currency,
    )
    text = drill.file.read_text(encoding="utf-8")
    try:
        await run_drill(drill.scenario, text, around, log)
    finally:
        log.close()
    card = score(log.events)
    _bundle(folder, drill, card)
    return card


def verify(folder: Path) -> Scorecard:
    """Check a bundle's seals and hashes and score it again; the first difference raises EventLogBroken."""
    card = _score_again(folder / EVENTS)
    manifest = _read_json(folder / MANIFEST)
    digests = manifest.get("files")
    for name in (EVENTS, SCORECARD):
        if not isinstance(digests, dict) or digests.get(name) != _digest(folder / name):
            raise EventLogBroken(
                f"{name} is not the file that the manifest names", hint="run the drill again"
            )
    recorded = _read_json(folder / SCORECARD)
    again = json.loads(json.dumps(asdict(card)))
    for key, value in again.items():
        if recorded.get(key) != value:
            raise EventLogBroken(
                f"{SCORECARD}: {key} is {recorded.get(key)!r}, the events give {value!r}",
                hint="run the drill again",
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
            hint="this log is no evidence; run the drill again",
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
            hint="name the folder of a finished drill",
        ) from None


def _read_json(file: Path) -> dict[str, Any]:
    why_not = "no object"
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        content, why_not = None, type(error).__name__
    if not isinstance(content, dict):
        raise EventLogBroken(
            f"bundle is incomplete: {file.name} ({why_not})", hint="name the folder of a finished drill"
        )
    return content
