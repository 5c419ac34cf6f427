"""The keys of a declaration as a whole, and what follows from them alone."""

from typing import TypeAlias

from pydantic import Field

from moneypath.path.costs import Costs
from moneypath.path.extension import COHORTS, OPERATIONS, QUEUES, TRAFFIC, Extension
from moneypath.path.guards import AnyGuard
from moneypath.path.objectives import AvailabilitySlo, Slo
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
    SnakeId,
    Stage,
    Target,
    Title,
    Watchdog,
)

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
