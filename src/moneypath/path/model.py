"""The declaration as a whole, and the check that its parts agree with each other."""

from collections.abc import Iterable, Iterator
from typing import Self, TypeAlias

from pydantic import Field, model_validator

from moneypath.path.costs import Costs, cost_issues
from moneypath.path.extension import COHORTS, OPERATIONS, QUEUES, TRAFFIC, Extension, extension_issues
from moneypath.path.guards import AnyGuard, guard_issues
from moneypath.path.objectives import AvailabilitySlo, LatencySlo, Slo, objective_issues
from moneypath.path.parts import (
    Check,
    CurrencyCode,
    Declared,
    Exponent,
    Links,
    Provider,
    Role,
    Slug,
    SnakeId,
    Stage,
    Target,
    Title,
    Watchdog,
)
from moneypath.path.problems import DeclarationIssue, DeclarationIssues, Location, repeated, suggest
from moneypath.path.selection import series_issues
from moneypath.telemetry.catalogue import Catalogue, MetricKind
from moneypath.telemetry.catalogue.vocabulary import NO_PROVIDER
from moneypath.telemetry.errors import CatalogueInvalid

AlertingPart: TypeAlias = Target | Slo | Check | AnyGuard


class MoneyPath(Declared):
    """One money path, complete and free of contradictions."""

    name: Title
    reporting_currency: CurrencyCode
    links: Links
    currencies: dict[CurrencyCode, Exponent] = Field(min_length=1, max_length=40)
    schemes: tuple[SnakeId, ...] = Field(min_length=1, max_length=10, description="ids of card schemes")
    roles: dict[Slug, Role] = Field(min_length=1, max_length=20)
    stages: tuple[Stage, ...] = Field(min_length=1, max_length=50)
    providers: tuple[Provider, ...] = Field(min_length=1, max_length=20)
    targets: tuple[Target, ...] = Field(min_length=1, max_length=50)
    slos: tuple[Slo, ...] = Field(min_length=1, max_length=50)
    checks: tuple[Check, ...] = Field(min_length=1, max_length=50)
    guards: tuple[AnyGuard, ...] = Field(max_length=50, description="a list of guards, or []")
    costs: Costs
    watchdog: Watchdog
    telemetry: Extension

    @model_validator(mode="after")
    def _refuse_contradictions(self) -> Self:
        # The catalogue is closed over what is declared, so it can only be built of what fits together.
        found = tuple(_issues(self)) or tuple(_catalogue_issues(self))
        if found:
            raise DeclarationIssues(found)
        return self

    def paged_roles(self) -> tuple[str, ...]:
        """Return the ids of the roles a page can reach, in the order of the file."""
        return tuple(name for name, role in self.roles.items() if role.paged)

    def provider_ids(self) -> tuple[str, ...]:
        """Return the ids of the providers, in the order of the file."""
        return tuple(provider.id for provider in self.providers)

    def integrity_alerts(self) -> tuple[str, ...]:
        """Return the names of the alerts of all checks, in the order of the file."""
        pairs = ((check.alerts.violated, check.alerts.stale) for check in self.checks)
        return tuple(dict.fromkeys(name for pair in pairs for name in pair))

    def availability_slos(self) -> tuple[AvailabilitySlo, ...]:
        """Return the availability objectives."""
        return tuple(slo for slo in self.slos if isinstance(slo, AvailabilitySlo))

    def alerting_parts(self) -> tuple[tuple[str, tuple[AlertingPart, ...]], ...]:
        """Return every list of parts that raise alerts, with its key."""
        return (
            ("targets", self.targets),
            ("slos", self.slos),
            ("checks", self.checks),
            ("guards", self.guards),
        )

    def catalogue(self) -> Catalogue:
        """Return the catalogue of metrics, closed over what is declared; thresholds become bucket edges."""
        thresholds: dict[str, list[float]] = {}
        for slo in self.slos:
            if isinstance(slo, LatencySlo):
                thresholds.setdefault(slo.histogram.series, []).append(float(slo.threshold_seconds))
        slots = _vocabulary(self)
        return Catalogue.build(
            {**slots, **_derived(self)},
            latency_thresholds=thresholds,
            own=self.telemetry.specs(slots),
            series_limit=self.telemetry.series_limit,
        )


def _vocabulary(path: MoneyPath) -> dict[str, tuple[str, ...]]:
    return {
        "operations": (*OPERATIONS, *path.telemetry.operations),
        "queues": (*QUEUES, *path.telemetry.queues),
        "traffic": (*TRAFFIC, *path.telemetry.traffic),
        "cohorts": (*COHORTS, *path.telemetry.cohorts),
        "providers": path.provider_ids(),
        "currencies": tuple(path.currencies),
        "schemes": path.schemes,
        "checks": tuple(check.id for check in path.checks),
    }


def _derived(path: MoneyPath) -> dict[str, tuple[str, ...]]:
    """Return the label values that follow from the checks; a metric of the team's own has no such list."""
    return {
        "alerts": path.integrity_alerts(),
        "sql_checks": tuple(check.id for check in path.checks if check.sql is not None),
    }


def _catalogue_issues(path: MoneyPath) -> Iterator[DeclarationIssue]:
    slots = _vocabulary(path)
    found = tuple(extension_issues(path.telemetry, slots))
    if found:
        yield from found
        return
    try:
        limit = path.telemetry.series_limit
        labels = {**slots, **_derived(path)}
        catalogue = Catalogue.build(labels, own=path.telemetry.specs(slots), series_limit=limit)
    except CatalogueInvalid as problem:
        # Each part is sound: a name is taken, or all of them together make more series than the limit.
        yield DeclarationIssue(
            ("telemetry",), problem.what, problem.hint.removeprefix("Declare ").rstrip(".")
        )
        return
    yield from _series_issues(path, catalogue)


def _issues(path: MoneyPath) -> Iterator[DeclarationIssue]:
    yield from repeated(("stages",), [stage.id for stage in path.stages], "id")
    yield from repeated(("providers",), [provider.id for provider in path.providers], "id")
    yield from repeated(("targets",), [target.job for target in path.targets], "job")
    yield from _control_issues(path)
    yield from repeated(("slos",), [slo.id for slo in path.slos], "id")
    yield from repeated(("checks",), [check.id for check in path.checks], "id")
    yield from repeated(("guards",), [guard.id for guard in path.guards], "id")
    yield from repeated(("schemes",), path.schemes)
    yield from _known(("reporting_currency",), path.reporting_currency, path.currencies, "currency")
    yield from _path_issues(path)
    yield from _role_issues(path)
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


def _series_issues(path: MoneyPath, catalogue: Catalogue) -> Iterator[DeclarationIssue]:
    for index, slo in enumerate(path.slos):
        yield from objective_issues(("slos", index), slo, catalogue)
    for index, check in enumerate(path.checks):
        yield from _check_issues(("checks", index, "series"), check, catalogue)
    for index, guard in enumerate(path.guards):
        yield from guard_issues(("guards", index), guard, catalogue)


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


def _path_issues(path: MoneyPath) -> Iterator[DeclarationIssue]:
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


def _control_issues(path: MoneyPath) -> Iterator[DeclarationIssue]:
    # Unique over all stages, not within one: a control is spoken of by its id alone.
    seen: set[str] = set()
    for index, stage in enumerate(path.stages):
        for place, control in enumerate(stage.controls):
            at: Location = ("stages", index, "controls", place)
            if control.id in seen:
                yield DeclarationIssue((*at, "id"), f'"{control.id}" stands twice', "each once")
            seen.add(control.id)
            yield from _known((*at, "owner_role"), control.owner_role, path.roles, "role")


def _role_issues(path: MoneyPath) -> Iterator[DeclarationIssue]:
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
        if isinstance(slo, AvailabilitySlo)
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
