"""Fill in what a declaration leaves out and what follows from its other parts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, TypeVar

from moneypath.path.declaration import Declaration
from moneypath.path.declared_series import DeclaredSeries, completed_series
from moneypath.path.guards import Guard
from moneypath.path.objectives import AvailabilitySlo, Slo
from moneypath.path.parts import Check, Declared, Provider, Stage
from moneypath.path.selection import family_of
from moneypath.path.series_events import SeriesEvents, resolved
from moneypath.telemetry.catalogue.label_sets import STARTING_SCHEMES

DEFAULT_CURRENCY: Final = "EUR"
# ISO 4217: every other currency has two decimals.
_WITHOUT_DECIMALS: Final = frozenset(
    [
        "BIF",
        "CLP",
        "DJF",
        "GNF",
        "ISK",
        "JPY",
        "KMF",
        "KRW",
        "PYG",
        "RWF",
        "UGX",
        "UYI",
        "VND",
        "VUV",
        "XAF",
        "XOF",
        "XPF",
    ]
)
_WITH_THREE: Final = frozenset(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"])

Update: TypeAlias = dict[str, Any]
"""The fields of a model that change, by name."""

P = TypeVar("P", bound=Declared)


def completed(declared: Declaration) -> Update:
    """Return the fields of a declaration that have to be exchanged for it to be complete."""
    reporting = declared.reporting_currency or next(iter(declared.currencies), DEFAULT_CURRENCY)
    schemes = declared.schemes or STARTING_SCHEMES
    stages = _stages(declared)
    series = {name: completed_series(name, each) for name, each in declared.series.items()}
    given = _Given(declared.alerts.prefix, stages, declared.paged_roles(), declared.provider_ids(), series)
    return {
        "reporting_currency": reporting,
        "currencies": declared.currencies or {reporting: iso_decimals(reporting)},
        "schemes": schemes,
        "roles": {name: _filled(role, title=_words(name)) for name, role in declared.roles.items()},
        "stages": stages,
        "providers": tuple(_provider(each, schemes) for each in declared.providers),
        "targets": tuple(given.part(target) for target in declared.targets),
        "series": series,
        "slos": tuple(given.slo(slo) for slo in declared.slos),
        "checks": tuple(given.check(check) for check in declared.checks),
        "guards": tuple(given.guard(guard) for guard in declared.guards),
        "watchdog": _filled(declared.watchdog, roles=given.roles_of(stages[0].id)),
    }


def iso_decimals(currency: str) -> int:
    """Return the decimals of the minor unit of a currency of ISO 4217."""
    return 0 if currency in _WITHOUT_DECIMALS else 3 if currency in _WITH_THREE else 2


def camel_case(name: str) -> str:
    """Return words that are joined by - or _ as they stand in the name of an alert."""
    return "".join(word.capitalize() for word in name.replace("_", "-").split("-"))


def _words(name: str) -> str:
    return name.replace("_", " ").replace("-", " ").capitalize()


def _filled(part: P, **defaults: object) -> P:
    """Return `part` with each default that is not declared."""
    missing = {key: value for key, value in defaults.items() if not getattr(part, key)}
    return part.model_copy(update=missing) if missing else part


def _stages(declared: Declaration) -> tuple[Stage, ...]:
    answers = (*declared.paged_roles(), *declared.roles)[0]
    stages = declared.stages or (Stage(id="payments", uses_providers=bool(declared.providers)),)
    return tuple(_filled(stage, title=_words(stage.id), owner_role=answers) for stage in stages)


def _provider(provider: Provider, schemes: Sequence[str]) -> Provider:
    return _filled(provider, title=_words(provider.id), schemes=tuple(schemes))


@dataclass(frozen=True, slots=True)
class _Given:
    """What the defaults of parts follow from."""

    prefix: str
    stages: tuple[Stage, ...]
    paged: tuple[str, ...]
    providers: tuple[str, ...]
    series: Mapping[str, DeclaredSeries]

    def roles_of(self, stage: str) -> tuple[str, ...]:
        """Return whom an alert at `stage` pages: its owner, or the first role that a page reaches."""
        owner = next((each.owner_role for each in self.stages if each.id == stage), "")
        return (owner,) if owner in self.paged or not self.paged else self.paged[:1]

    def part(self, part: P) -> P:
        """Return a part with its stage and its roles."""
        stage = getattr(part, "stage", "") or self.stages[0].id
        return _filled(part, stage=stage, roles=self.roles_of(stage))

    def slo(self, slo: Slo) -> Slo:
        """Return an objective with its title, and the name of its alert."""
        whole = self.part(_filled(slo, title=_words(slo.id)))
        if isinstance(whole, AvailabilitySlo):
            update: Update = {} if self.providers else {"per": None}
            if whole.events:
                update |= self._counted(whole, whole.events)
            if whole.traffic:
                update["traffic"] = _filled(whole.traffic, roles=whole.roles, runbook=whole.runbook)
            return whole.model_copy(update=update)
        if whole.burn:
            burn = _filled(whole.burn, alert=f"{self.prefix}{camel_case(whole.id)}Burn")
            return whole.model_copy(update={"burn": burn})
        return whole

    def _counted(self, slo: AvailabilitySlo, events: SeriesEvents) -> Update:
        """Return what follows from the series that an objective counts."""
        given = slo.model_fields_set
        series = self.series.get(events.series) or self.series.get(family_of(events.series))
        operation = slo.operation if "operation" in given else ""
        # Without a label for the provider all of them count together, unless somebody asks for more.
        has_label = series is not None and bool(series.roles.provider)
        per = slo.per if self.providers and (has_label or "per" in given) else None
        found = resolved(
            events,
            self.series,
            kept_apart=per is not None,
            operation=operation,
            providers=self.providers,
        )
        return {"operation": operation, "per": per, "events": found}

    def check(self, check: Check) -> Check:
        """Return a check with its title, the names of its alerts, and whom they page."""
        whole = self.part(_filled(check, title=_words(check.id)))
        name = f"{self.prefix}{camel_case(check.id)}"
        alerts = _filled(check.alerts, violated=f"{name}Violated", stale=f"{name}Stale")
        whole = whole.model_copy(update={"alerts": alerts})
        return _filled(whole, stale_roles=whole.roles, stale_runbook=whole.runbook)

    def guard(self, guard: Guard) -> Guard:
        """Return a guard with its title and the name of its alert."""
        named = _filled(guard, title=_words(guard.id), alert=f"{self.prefix}{camel_case(guard.id)}")
        return self.part(named)
