"""The money path as a whole: its parts, and that they agree with each other."""

from collections.abc import Iterable, Iterator
from typing import Self

from pydantic import Field, model_validator

from moneypath.path.costs import Costs, cost_misfits
from moneypath.path.extension import OPERATIONS, QUEUES, Extension, extension_misfits
from moneypath.path.guards import AnyGuard, guard_misfits
from moneypath.path.objectives import AvailabilitySlo, LatencySlo, PathSlo, Slo, objective_misfits
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
from moneypath.path.problems import Location, Misfit, Misfits, repeated, suggest
from moneypath.path.selection import series_misfits
from moneypath.telemetry.catalogue import Catalogue, MetricKind
from moneypath.telemetry.catalogue.vocabulary import NO_PROVIDER
from moneypath.telemetry.errors import CatalogueInvalid


class MoneyPath(Declared):
    """One money path, whole and free of contradictions."""

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
        found = tuple(_misfits(self)) or tuple(_catalogue_misfits(self))
        if found:
            raise Misfits(found)
        return self

    def paged_roles(self) -> tuple[str, ...]:
        """Return the ids of the roles a page can reach, in the order of the file."""
        return tuple(name for name, role in self.roles.items() if role.paged)

    def provider_ids(self) -> tuple[str, ...]:
        """Return the ids of the providers, in the order of the file."""
        return tuple(provider.id for provider in self.providers)

    def availability_slos(self) -> tuple[AvailabilitySlo, ...]:
        """Return the objectives on the answers to an operation."""
        return tuple(slo for slo in self.slos if isinstance(slo, AvailabilitySlo))

    def path_slos(self) -> tuple[PathSlo, ...]:
        """Return the objectives that are kept over the whole path."""
        return tuple(slo for slo in self.slos if not isinstance(slo, AvailabilitySlo))

    def catalogue(self) -> Catalogue:
        """Return the catalogue of metrics, closed over what is declared; thresholds become bucket edges."""
        thresholds: dict[str, list[float]] = {}
        for slo in self.slos:
            if isinstance(slo, LatencySlo):
                thresholds.setdefault(slo.timed.series, []).append(float(slo.threshold_seconds))
        slots = _vocabulary(self)
        return Catalogue.build(slots, latency_thresholds=thresholds, own=self.telemetry.specs(slots))


def _vocabulary(path: MoneyPath) -> dict[str, tuple[str, ...]]:
    return {
        "operations": (*OPERATIONS, *path.telemetry.operations),
        "queues": (*QUEUES, *path.telemetry.queues),
        "providers": path.provider_ids(),
        "currencies": tuple(path.currencies),
        "schemes": path.schemes,
        "checks": tuple(check.id for check in path.checks),
    }


def _catalogue_misfits(path: MoneyPath) -> Iterator[Misfit]:
    slots = _vocabulary(path)
    found = tuple(extension_misfits(path.telemetry, slots))
    if found:
        yield from found
        return
    try:
        catalogue = Catalogue.build(slots, own=path.telemetry.specs(slots))
    except CatalogueInvalid as problem:
        # Each part is sound: a name is taken, or all of them together make more series than a budget allows.
        yield Misfit(("telemetry",), problem.what)
        return
    yield from _series_misfits(path, catalogue)


def _misfits(path: MoneyPath) -> Iterator[Misfit]:
    yield from repeated(("stages",), [stage.id for stage in path.stages], "id")
    yield from repeated(("providers",), [provider.id for provider in path.providers], "id")
    yield from repeated(("targets",), [target.job for target in path.targets], "job")
    yield from _gate_misfits(path)
    yield from repeated(("slos",), [slo.id for slo in path.slos], "id")
    yield from repeated(("checks",), [check.id for check in path.checks], "id")
    yield from repeated(("guards",), [guard.id for guard in path.guards], "id")
    yield from repeated(("schemes",), path.schemes)
    yield from _known(("reporting_currency",), path.reporting_currency, path.currencies, "currency")
    yield from _path_misfits(path)
    yield from _role_misfits(path)
    yield from cost_misfits(
        path.costs,
        providers=path.provider_ids(),
        currencies=path.currencies,
        reporting_currency=path.reporting_currency,
    )
    checks = {check.id for check in path.checks}
    for index, guard in enumerate(path.guards):
        if guard.id in checks:
            # Both stand in the label `check` of an alert.
            yield Misfit(("guards", index, "id"), f'"{guard.id}" is the id of a check', "another id")


def _series_misfits(path: MoneyPath, catalogue: Catalogue) -> Iterator[Misfit]:
    for index, slo in enumerate(path.slos):
        yield from objective_misfits(("slos", index), slo, catalogue)
    for index, check in enumerate(path.checks):
        yield from _check_misfits(("checks", index, "series"), check, catalogue)
    for index, guard in enumerate(path.guards):
        yield from guard_misfits(("guards", index), guard, catalogue)


def _check_misfits(location: Location, check: Check, catalogue: Catalogue) -> Iterator[Misfit]:
    known: list[tuple[str, ...]] = []
    for index, name in enumerate(check.series):
        unknown = tuple(series_misfits((*location, index), name, MetricKind.GAUGE, catalogue))
        yield from unknown
        if unknown:
            continue
        known.append(tuple(catalogue[name].labels))
        if known[0] != known[-1]:
            # What ends on the evidence of all its gauges needs the same labels on all.
            mine, first = (", ".join(labels) or "none" for labels in (known[-1], known[0]))
            what = f"{name} has the labels {mine}, not {first}"
            yield Misfit(
                (*location, index), what, "series with the same labels; others need a check of their own"
            )


def _path_misfits(path: MoneyPath) -> Iterator[Misfit]:
    stages = [stage.id for stage in path.stages]
    for index, stage in enumerate(path.stages):
        yield from _all_known(("stages", index, "leads_to"), stage.leads_to, stages, "stage")
        if stage.id in stage.leads_to:
            yield Misfit(("stages", index, "leads_to"), f'"{stage.id}" leads to itself', "other stages")
    for index, provider in enumerate(path.providers):
        yield from _all_known(("providers", index, "schemes"), provider.schemes, path.schemes, "scheme")
        if provider.id == NO_PROVIDER:
            what = f'"{NO_PROVIDER}" stands for payments that no provider answered'
            yield Misfit(("providers", index, "id"), what, "any other id")
    for key, parts in _alerting_parts(path):
        for index, part in enumerate(parts):
            yield from _known((key, index, "stage"), part.stage, stages, "stage")


def _gate_misfits(path: MoneyPath) -> Iterator[Misfit]:
    # Unique over all stages, not within one: a gate is spoken of by its id alone.
    seen: set[str] = set()
    for index, stage in enumerate(path.stages):
        for place, gate in enumerate(stage.gates):
            at: Location = ("stages", index, "gates", place)
            if gate.id in seen:
                yield Misfit((*at, "id"), f'"{gate.id}" stands twice', "each once")
            seen.add(gate.id)
            yield from _known((*at, "owner_role"), gate.owner_role, path.roles, "role")


def _alerting_parts(path: MoneyPath) -> tuple[tuple[str, tuple[Target | Slo | Check | AnyGuard, ...]], ...]:
    return ("targets", path.targets), ("slos", path.slos), ("checks", path.checks), ("guards", path.guards)


def _role_misfits(path: MoneyPath) -> Iterator[Misfit]:
    for index, stage in enumerate(path.stages):
        yield from _known(("stages", index, "owner_role"), stage.owner_role, path.roles, "role")
    lists: list[tuple[Location, tuple[str, ...]]] = [(("watchdog", "roles"), path.watchdog.roles)]
    for key, parts in _alerting_parts(path):
        lists += [((key, index, "roles"), part.roles) for index, part in enumerate(parts)]
    lists += [
        (("slos", index, "traffic", "roles"), slo.traffic.roles)
        for index, slo in enumerate(path.slos)
        if isinstance(slo, AvailabilitySlo)
    ]
    for location, roles in lists:
        yield from _all_known(location, roles, path.roles, "role")
        if not any(role in path.paged_roles() for role in roles):
            yield Misfit(location, "none of these roles is paged", "at least one role with `paged: true`")


def _known(location: Location, name: str, names: Iterable[str], kind: str) -> Iterator[Misfit]:
    allowed = sorted(names)
    if name not in allowed:
        yield Misfit(location, f'there is no {kind} "{name}"{suggest(name, allowed)}', ", ".join(allowed))


def _all_known(location: Location, given: Iterable[str], names: Iterable[str], kind: str) -> Iterator[Misfit]:
    allowed = sorted(names)
    values = tuple(given)
    for index, name in enumerate(values):
        yield from _known((*location, index), name, allowed, kind)
    yield from repeated(location, values)
