"""Check that the runbooks and dashboards that alerts link to are there."""

from collections.abc import Collection, Iterator
from pathlib import Path

from moneypath.path import yaml_document
from moneypath.path.model import AlertingPart, MoneyPath
from moneypath.path.objectives import AvailabilitySlo
from moneypath.path.parts import Watchdog
from moneypath.path.problems import DeclarationInvalid, Location, Problem, key_text, suggest
from moneypath.path.source import read_text


def check_links(
    path: MoneyPath, file: Path, *, dashboards: Collection[str], runbooks: Collection[str]
) -> None:
    """Raise DeclarationInvalid for every dashboard or runbook that `path` names and that does not exist.

    Args:
        path: What `file` declares.
        file: The declaration; read again for the lines of the problems.
        dashboards: The ids of the boards that exist.
        runbooks: The file names of the runbooks that exist, without `.md`.
    """
    document = yaml_document.parse(read_text(file), 1)
    problems = [
        Problem(
            document.line(at),
            key_text(at),
            f'there is no {kind} "{name}"{suggest(name, known)}',
            ", ".join(sorted(known)),
        )
        for kind, known, links in (
            ("dashboard", dashboards, dashboard_links(path)),
            ("runbook", runbooks, runbook_links(path)),
        )
        for at, name in links
        if name not in known
    ]
    if problems:
        raise DeclarationInvalid(file, problems)


def dashboard_links(path: MoneyPath) -> Iterator[tuple[Location, str]]:
    """Yield the location and the id of each dashboard that is named."""
    for location, part in _parts(path):
        yield (*location, "dashboard"), part.dashboard


def runbook_links(path: MoneyPath) -> Iterator[tuple[Location, str]]:
    """Yield the location and the id of each runbook that is named."""
    named = [((*location, "runbook"), part.runbook) for location, part in _parts(path)]
    named += [
        (("checks", index, "stale_runbook"), check.stale_runbook) for index, check in enumerate(path.checks)
    ]
    named += [
        (("slos", index, "traffic", "runbook"), slo.traffic.runbook)
        for index, slo in enumerate(path.slos)
        if isinstance(slo, AvailabilitySlo) and slo.traffic
    ]
    # An alert may have no runbook yet.
    yield from ((location, name) for location, name in named if name)


def _parts(path: MoneyPath) -> Iterator[tuple[Location, AlertingPart | Watchdog]]:
    for key, parts in path.alerting_parts():
        yield from (((key, index), part) for index, part in enumerate(parts))
    yield ("watchdog",), path.watchdog
