"""The keys of a declaration as a whole, and what follows from them alone."""

from collections.abc import Iterator
from typing import TypeAlias

from pydantic import Field

from moneypath.path.costs import Costs
from moneypath.path.declared_series import DeclaredMetric, DeclaredSeries, declared_metric
from moneypath.path.extension import COHORTS, OPERATIONS, QUEUES, TRAFFIC, Extension
from moneypath.path.guards import AnyGuard, IncreaseGuard, RatioGuard
from moneypath.path.objectives import AvailabilitySlo, EventsSlo, LatencySlo, Slo
from moneypath.path.outputs import Outputs
from moneypath.path.parts import (
    Alerts,
    Check,
    CurrencyCode,
    Declared,
    Exponent,
    Links,
    Provider,
    Role,
    RoleId,
    SeriesName,
    SnakeId,
    Stage,
    Target,
    Title,
    Watchdog,
)
from moneypath.path.selection import LabelMatcher, family_of

AlertingPart: TypeAlias = Target | Slo | Check | AnyGuard


class Declaration(Declared):
    """Every key of `moneypath.yaml`. Only a name, a role, a target and an objective have to be there."""

    name: Title
    reporting_currency: CurrencyCode = ""
    links: Links = Links()
    alerts: Alerts = Alerts()
    outputs: Outputs = Outputs()
    currencies: dict[CurrencyCode, Exponent] = Field(default={}, min_length=1, max_length=40)
    schemes: tuple[SnakeId, ...] = Field(
        default=(), min_length=1, max_length=10, description="ids of card schemes"
    )
    roles: dict[RoleId, Role] = Field(min_length=1, max_length=20)
    stages: tuple[Stage, ...] = Field(default=(), min_length=1, max_length=50)
    providers: tuple[Provider, ...] = Field(
        default=(), max_length=20, description="a list of providers, or []"
    )
    targets: tuple[Target, ...] = Field(min_length=1, max_length=50)
    series: dict[SeriesName, DeclaredSeries] = Field(
        default={},
        max_length=100,
        description="a mapping of names to series that the services export already",
    )
    slos: tuple[Slo, ...] = Field(min_length=1, max_length=50)
    checks: tuple[Check, ...] = Field(default=(), max_length=50, description="a list of checks, or []")
    guards: tuple[AnyGuard, ...] = Field(default=(), max_length=50, description="a list of guards, or []")
    costs: Costs | None = Field(default=None, description="a mapping, or null without a cost model")
    watchdog: Watchdog = Watchdog()
    telemetry: Extension = Extension()

    def paged_roles(self) -> tuple[str, ...]:
        """Return the ids of the roles a page can reach, in the order of the file."""
        return tuple(name for name, role in self.roles.items() if role.paged)

    def provider_ids(self) -> tuple[str, ...]:
        """Return the ids of the providers, in the order of the file."""
        return tuple(provider.id for provider in self.providers)

    def derived(self) -> dict[str, tuple[str, ...]]:
        """Return the label values that follow from the checks; a team's own metric has no such list."""
        return {
            "alerts": self.integrity_alerts(),
            "sql_checks": tuple(check.id for check in self.checks if check.sql is not None),
        }

    def integrity_alerts(self) -> tuple[str, ...]:
        """Return the names of the alerts of all checks, in the order of the file."""
        pairs = ((check.alerts.violated, check.alerts.stale) for check in self.checks)
        return tuple(dict.fromkeys(name for pair in pairs for name in pair))

    def availability_slos(self) -> tuple[AvailabilitySlo, ...]:
        """Return the availability objectives."""
        return tuple(slo for slo in self.slos if isinstance(slo, AvailabilitySlo))

    def declared_metrics(self) -> tuple[DeclaredMetric, ...]:
        """Return the declared series as metrics, each label with the values that some part selects."""
        selected = selected_values(self)
        return tuple(
            declared_metric(name, series, selected.get(name, {})) for name, series in self.series.items()
        )

    def alerting_parts(self) -> tuple[tuple[str, tuple[AlertingPart, ...]], ...]:
        """Return every list of parts that raise alerts, with its key."""
        return (
            ("targets", self.targets),
            ("slos", self.slos),
            ("checks", self.checks),
            ("guards", self.guards),
        )

    def vocabulary(self) -> dict[str, tuple[str, ...]]:
        """Return the lists of values that the labels of metrics take."""
        return {
            "operations": (*OPERATIONS, *self.telemetry.operations),
            "queues": (*QUEUES, *self.telemetry.queues),
            "traffic": (*TRAFFIC, *self.telemetry.traffic),
            "cohorts": (*COHORTS, *self.telemetry.cohorts),
            "providers": self.provider_ids(),
            "currencies": tuple(self.currencies),
            "schemes": self.schemes,
            "checks": tuple(check.id for check in self.checks),
        }


def selected_values(path: Declaration) -> dict[str, dict[str, list[str]]]:
    """Return for each series and label the values that objectives and guards select."""
    found: dict[str, dict[str, list[str]]] = {}
    for series, match in _selections(path):
        found.setdefault(family_of(series), {}).setdefault(match.label, []).extend(match.values)
        found.setdefault(series, {}).setdefault(match.label, []).extend(match.values)
    return found


def _selections(path: Declaration) -> Iterator[tuple[str, LabelMatcher]]:
    for slo in path.slos:
        if isinstance(slo, LatencySlo):
            yield from ((slo.histogram.series, match) for match in slo.histogram.select)
        elif isinstance(slo, EventsSlo):
            told = LabelMatcher(label=slo.label, values=(*slo.good, *slo.bad))
            yield from ((slo.series, match) for match in (*slo.select, told))
        elif slo.events:
            events = slo.events
            yield from ((events.series, match) for match in (*events.valid, *events.good, *events.bad))
    for guard in path.guards:
        if isinstance(guard, IncreaseGuard):
            yield from ((guard.counter.series, match) for match in guard.counter.select)
        elif isinstance(guard, RatioGuard):
            for side in (guard.numerator, guard.denominator):
                yield from ((side.series, match) for match in side.select)
