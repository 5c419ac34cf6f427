"""The money path as a whole: its parts, and that they agree with each other."""

from collections.abc import Iterable, Iterator
from typing import Self

from pydantic import Field, model_validator

from moneypath.path.costs import Costs, cost_misfits
from moneypath.path.parts import (
    Check,
    CurrencyCode,
    Declared,
    Exponent,
    Links,
    Provider,
    Role,
    Slo,
    Slug,
    SnakeId,
    Stage,
    Target,
    Title,
    Watchdog,
)
from moneypath.path.problems import Location, Misfit, Misfits, suggest
from moneypath.telemetry.vocabulary import NO_PROVIDER, Operation


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
    costs: Costs
    watchdog: Watchdog

    @model_validator(mode="after")
    def _refuse_contradictions(self) -> Self:
        found = tuple(_misfits(self))
        if found:
            raise Misfits(found)
        return self

    def paged_roles(self) -> tuple[str, ...]:
        """Return the ids of the roles a page can reach, in the order of the file."""
        return tuple(name for name, role in self.roles.items() if role.paged)

    def provider_ids(self) -> tuple[str, ...]:
        """Return the ids of the providers, in the order of the file."""
        return tuple(provider.id for provider in self.providers)


def _misfits(path: MoneyPath) -> Iterator[Misfit]:
    yield from _repeated(("stages",), [stage.id for stage in path.stages], "id")
    yield from _repeated(("providers",), [provider.id for provider in path.providers], "id")
    yield from _repeated(("targets",), [target.job for target in path.targets], "job")
    yield from _gate_misfits(path)
    yield from _repeated(("slos",), [slo.id for slo in path.slos], "id")
    yield from _repeated(("checks",), [check.id for check in path.checks], "id")
    yield from _repeated(("schemes",), path.schemes)
    yield from _known(("reporting_currency",), path.reporting_currency, path.currencies, "currency")
    yield from _path_misfits(path)
    yield from _role_misfits(path)
    for index, slo in enumerate(path.slos):
        yield from _slo_misfits(("slos", index), slo)
    yield from cost_misfits(
        path.costs,
        providers=path.provider_ids(),
        currencies=path.currencies,
        reporting_currency=path.reporting_currency,
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


def _alerting_parts(path: MoneyPath) -> tuple[tuple[str, tuple[Target | Slo | Check, ...]], ...]:
    return ("targets", path.targets), ("slos", path.slos), ("checks", path.checks)


def _role_misfits(path: MoneyPath) -> Iterator[Misfit]:
    for index, stage in enumerate(path.stages):
        yield from _known(("stages", index, "owner_role"), stage.owner_role, path.roles, "role")
    lists: list[tuple[Location, tuple[str, ...]]] = [(("watchdog", "roles"), path.watchdog.roles)]
    for key, parts in _alerting_parts(path):
        lists += [((key, index, "roles"), part.roles) for index, part in enumerate(parts)]
    lists += [(("slos", index, "traffic", "roles"), slo.traffic.roles) for index, slo in enumerate(path.slos)]
    for location, roles in lists:
        yield from _all_known(location, roles, path.roles, "role")
        if not any(role in path.paged_roles() for role in roles):
            yield Misfit(location, "none of these roles is paged", "at least one role with `paged: true`")


def _slo_misfits(location: Location, slo: Slo) -> Iterator[Misfit]:
    both = sorted(set(slo.excluded_outcomes) & set(slo.bad_outcomes))
    if both:
        what = f"{', '.join(both)} cannot be bad and left out at the same time"
        yield Misfit((*location, "bad_outcomes"), what, "outcomes that are not in excluded_outcomes")
    for key, values in (
        ("bad_outcomes", slo.bad_outcomes),
        ("excluded_outcomes", slo.excluded_outcomes),
        ("bad_results", slo.bad_results),
    ):
        yield from _repeated((*location, key), values)
    yield from _repeated((*location, "burn", "tiers"), slo.burn.tiers)
    if slo.bad_results and slo.operation is not Operation.AUTHORIZE:
        what = "only authorizations have results"
        yield Misfit((*location, "bad_results"), what, f"[] when the operation is {slo.operation}")


def _known(location: Location, name: str, names: Iterable[str], kind: str) -> Iterator[Misfit]:
    allowed = sorted(names)
    if name not in allowed:
        yield Misfit(location, f'there is no {kind} "{name}"{suggest(name, allowed)}', ", ".join(allowed))


def _all_known(location: Location, given: Iterable[str], names: Iterable[str], kind: str) -> Iterator[Misfit]:
    allowed = sorted(names)
    values = tuple(given)
    for index, name in enumerate(values):
        yield from _known((*location, index), name, allowed, kind)
    yield from _repeated(location, values)


def _repeated(location: Location, values: Iterable[str], key: str | None = None) -> Iterator[Misfit]:
    seen: set[str] = set()
    for index, value in enumerate(values):
        if value in seen:
            at = (*location, index, key) if key else (*location, index)
            yield Misfit(at, f'"{value}" stands twice', "each once")
        seen.add(value)
