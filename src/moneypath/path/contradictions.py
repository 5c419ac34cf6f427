"""The contradictions between the parts of a declaration."""

import re
from collections.abc import Iterable, Iterator

from moneypath.path.costs import cost_issues
from moneypath.path.declaration import Declaration
from moneypath.path.declared_issues import counted_series_issues, declared_series_issues
from moneypath.path.declared_series import with_declared
from moneypath.path.extension import extension_issues
from moneypath.path.guards import guard_issues
from moneypath.path.objectives import AvailabilitySlo, objective_issues
from moneypath.path.parts import Check
from moneypath.path.problems import DeclarationIssue, Location, repeated, suggest
from moneypath.path.selection import series_issues
from moneypath.telemetry.catalogue import Catalogue, MetricKind
from moneypath.telemetry.catalogue.vocabulary import NO_PROVIDER
from moneypath.telemetry.errors import CatalogueInvalid


def issues(path: Declaration) -> Iterator[DeclarationIssue]:
    """Yield every contradiction of a declaration that is complete."""
    # The catalogue is closed over what is declared, so it can only be built of what fits together.
    yield from tuple(_issues(path)) or _catalogue_issues(path)


def decimals_issues(declared: Declaration) -> Iterator[DeclarationIssue]:
    """Yield an issue if a currency outside ISO 4217 lacks its decimals: two would be a guess."""
    code = declared.reporting_currency
    if code and not declared.currencies and re.fullmatch("[A-Z]{3}", code) is None:
        what = f"the decimals of {code} are not known"
        yield DeclarationIssue(
            ("reporting_currency",), what, f"a currency of `currencies`, such as {code}: 6"
        )


def _catalogue_issues(path: Declaration) -> Iterator[DeclarationIssue]:
    slots = path.vocabulary()
    found = tuple(extension_issues(path.telemetry, slots))
    if found:
        yield from found
        return
    try:
        limit = path.telemetry.series_limit
        labels = {**slots, **path.derived()}
        catalogue = Catalogue.build(
            labels,
            own=path.telemetry.specs(slots),
            series_limit=limit,
            may_be_empty=("providers", "checks"),
        )
    except CatalogueInvalid as problem:
        # Each part is sound: a name is taken, or all of them together make more series than the limit.
        yield DeclarationIssue(
            ("telemetry",), problem.what, problem.hint.removeprefix("Declare ").rstrip(".")
        )
        return
    try:
        known = with_declared(catalogue, path.declared_metrics())
    except CatalogueInvalid as problem:
        yield DeclarationIssue(("series",), problem.what.rstrip("."), "names that do not collide in a scrape")
        return
    yield from _series_issues(path, known)


def _issues(path: Declaration) -> Iterator[DeclarationIssue]:
    yield from repeated(("stages",), [stage.id for stage in path.stages], "id")
    yield from repeated(("providers",), [provider.id for provider in path.providers], "id")
    yield from repeated(("targets",), [target.job for target in path.targets], "job")
    yield from _control_issues(path)
    yield from repeated(("slos",), [slo.id for slo in path.slos], "id")
    yield from repeated(("checks",), [check.id for check in path.checks], "id")
    yield from repeated(("guards",), [guard.id for guard in path.guards], "id")
    yield from repeated(("schemes",), path.schemes)
    yield from declared_series_issues(path)
    yield from _known(("reporting_currency",), path.reporting_currency, path.currencies, "currency")
    yield from _path_issues(path)
    yield from _role_issues(path)
    yield from _name_issues(path)
    yield from _operation_issues(path)
    if path.costs:
        yield from cost_issues(
            path.costs,
            providers=path.provider_ids(),
            currencies=path.currencies,
            reporting_currency=path.reporting_currency,
        )
    checks = {check.id for check in path.checks}
    for index, guard in enumerate(path.guards):
        if guard.id in checks:
            # Both are values of the label `check` of an alert.
            yield DeclarationIssue(
                ("guards", index, "id"), f'"{guard.id}" is the id of a check', "another id"
            )


def _series_issues(path: Declaration, catalogue: Catalogue) -> Iterator[DeclarationIssue]:
    for index, slo in enumerate(path.slos):
        yield from objective_issues(("slos", index), slo, catalogue)
    for index, check in enumerate(path.checks):
        yield from _check_issues(("checks", index, "series"), check, catalogue)
    for index, guard in enumerate(path.guards):
        yield from guard_issues(("guards", index), guard, catalogue)
    yield from counted_series_issues(path, catalogue)
    yield from repeated(("telemetry", "exported"), path.telemetry.exported)
    for index, name in enumerate(path.telemetry.exported):
        if name not in catalogue:
            names = sorted(spec.name for spec in catalogue)
            what = f'there is no metric "{name}"{suggest(name, names)}'
            yield DeclarationIssue(("telemetry", "exported", index), what, "a metric of docs/metrics.md")


def _check_issues(location: Location, check: Check, catalogue: Catalogue) -> Iterator[DeclarationIssue]:
    known: list[tuple[str, ...]] = []
    for index, name in enumerate(check.series):
        unknown = tuple(series_issues((*location, index), name, MetricKind.GAUGE, catalogue))
        yield from unknown
        if unknown:
            continue
        known.append(tuple(catalogue[name].labels))
        if known[0] != known[-1]:
            # What ends on the evidence of all its gauges needs the same labels on all.
            mine, first = (", ".join(labels) or "none" for labels in (known[-1], known[0]))
            what = f"{name} has the labels {mine}, not {first}"
            yield DeclarationIssue(
                (*location, index), what, "series with the same labels; others need a check of their own"
            )


def _path_issues(path: Declaration) -> Iterator[DeclarationIssue]:
    stages = [stage.id for stage in path.stages]
    for index, stage in enumerate(path.stages):
        yield from _all_known(("stages", index, "leads_to"), stage.leads_to, stages, "stage")
        if stage.id in stage.leads_to:
            yield DeclarationIssue(
                ("stages", index, "leads_to"), f'"{stage.id}" leads to itself', "other stages"
            )
    for index, provider in enumerate(path.providers):
        yield from _all_known(("providers", index, "schemes"), provider.schemes, path.schemes, "scheme")
        if provider.id == NO_PROVIDER:
            what = f'"{NO_PROVIDER}" stands for payments that no provider answered'
            yield DeclarationIssue(("providers", index, "id"), what, "any other id")
    for key, parts in path.alerting_parts():
        for index, part in enumerate(parts):
            yield from _known((key, index, "stage"), part.stage, stages, "stage")


def _control_issues(path: Declaration) -> Iterator[DeclarationIssue]:
    # Unique over all stages, not within one: a control is spoken of by its id alone.
    seen: set[str] = set()
    for index, stage in enumerate(path.stages):
        for place, control in enumerate(stage.controls):
            at: Location = ("stages", index, "controls", place)
            if control.id in seen:
                yield DeclarationIssue((*at, "id"), f'"{control.id}" stands twice', "each once")
            seen.add(control.id)
            yield from _known((*at, "owner_role"), control.owner_role, path.roles, "role")


def _role_issues(path: Declaration) -> Iterator[DeclarationIssue]:
    for index, stage in enumerate(path.stages):
        yield from _known(("stages", index, "owner_role"), stage.owner_role, path.roles, "role")
    lists: list[tuple[Location, tuple[str, ...]]] = [(("watchdog", "roles"), path.watchdog.roles)]
    for key, parts in path.alerting_parts():
        lists += [((key, index, "roles"), part.roles) for index, part in enumerate(parts)]
    lists += [
        (("checks", index, "stale_roles"), check.stale_roles) for index, check in enumerate(path.checks)
    ]
    lists += [
        (("slos", index, "traffic", "roles"), slo.traffic.roles)
        for index, slo in enumerate(path.slos)
        if isinstance(slo, AvailabilitySlo) and slo.traffic
    ]
    for location, roles in lists:
        yield from _all_known(location, roles, path.roles, "role")
        if not any(role in path.paged_roles() for role in roles):
            yield DeclarationIssue(
                location, "none of these roles is paged", "at least one role with `paged: true`"
            )


def _known(location: Location, name: str, names: Iterable[str], kind: str) -> Iterator[DeclarationIssue]:
    allowed = sorted(names)
    if name not in allowed:
        yield DeclarationIssue(
            location, f'there is no {kind} "{name}"{suggest(name, allowed)}', ", ".join(allowed)
        )


def _all_known(
    location: Location, given: Iterable[str], names: Iterable[str], kind: str
) -> Iterator[DeclarationIssue]:
    allowed = sorted(names)
    values = tuple(given)
    for index, name in enumerate(values):
        yield from _known((*location, index), name, allowed, kind)
    yield from repeated(location, values)


def _name_issues(path: Declaration) -> Iterator[DeclarationIssue]:
    """Yield every name of an alert that does not begin with the prefix of all alerts."""
    names: list[tuple[Location, str]] = []
    for index, slo in enumerate(path.slos):
        if slo.burn and not isinstance(slo, AvailabilitySlo):
            names.append((("slos", index, "burn", "alert"), slo.burn.alert))
    for index, check in enumerate(path.checks):
        names.append((("checks", index, "alerts", "violated"), check.alerts.violated))
        names.append((("checks", index, "alerts", "stale"), check.alerts.stale))
    names += [(("guards", index, "alert"), guard.alert) for index, guard in enumerate(path.guards)]
    prefix = path.alerts.prefix
    for location, name in names:
        rest = name.removeprefix(prefix)
        if rest == name or not rest[:1].isupper():
            what = f'"{name}" does not begin with the prefix of all alerts'
            yield DeclarationIssue(location, what, f"{prefix}, an object and a condition in CamelCase")


def _operation_issues(path: Declaration) -> Iterator[DeclarationIssue]:
    """Yield every second availability objective of one operation: their series would have one name."""
    seen: set[str] = set()
    for index, slo in enumerate(path.slos):
        if isinstance(slo, AvailabilitySlo) and slo.operation:
            if slo.operation in seen:
                what = f'"{slo.operation}" has an availability objective already'
                yield DeclarationIssue(("slos", index, "operation"), what, "one for each operation")
            seen.add(slo.operation)
