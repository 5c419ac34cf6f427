"""The parts of a money path, as pydantic models: what each key of `moneypath.yaml` may hold."""

import re
from decimal import Decimal
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class GateKind(StrEnum):
    """What the law asks at a gate."""

    KYC = "kyc"
    SANCTIONS = "sanctions"
    LICENCE = "licence"
    DATA_RESIDENCY = "data_residency"


def _decimal(value: object) -> Decimal:
    if isinstance(value, Decimal):
        return value
    # A ValueError even for a wrong type: pydantic makes problems of nothing else.
    if not isinstance(value, str) or not re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,9})?", value):
        raise ValueError("should be a decimal in quotes, which is kept exactly")
    return Decimal(value)


Ratio = Annotated[
    Decimal,
    BeforeValidator(_decimal),
    Field(gt=0, lt=1, description='a decimal in quotes above 0 and below 1, such as "0.999"'),
]
Amount = Annotated[
    Decimal,
    BeforeValidator(_decimal),
    Field(gt=0, description='a decimal in quotes above 0, such as "0.70"'),
]
Slug = Annotated[
    str,
    Field(
        pattern=r"^[a-z][a-z0-9]*(?:-[a-z0-9]+)*$",
        max_length=60,
        description="lower-case words joined by -, such as partial-provider-outage",
    ),
]
SnakeId = Annotated[
    str,
    Field(
        pattern=r"^[a-z][a-z0-9]*(?:_[a-z0-9]+)*$",
        max_length=60,
        description="lower-case words joined by _, such as ledger_balance",
    ),
]
Title = Annotated[
    str,
    Field(min_length=1, max_length=100, pattern=r"^[^\n{}]+$", description="one line of text without braces"),
]
CurrencyCode = Annotated[str, Field(pattern=r"^[A-Z]{3}$", description="three capital letters of ISO 4217")]
BaseUrl = Annotated[
    str,
    Field(
        pattern=r"^https?://[^\s{}?#]+/$", max_length=200, description="an http or https URL that ends in /"
    ),
]
SeriesName = Annotated[
    str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=100, description="the name of a Prometheus series")
]
AlertName = Annotated[
    str,
    Field(
        pattern=r"^MoneyPath(?:[A-Z][a-z]+)+$",
        max_length=60,
        description="MoneyPath, an object and a condition in CamelCase, such as MoneyPathLedgerImbalance",
    ),
]
Exponent = Annotated[int, Field(ge=0, le=3, description="the decimals of the minor unit, 0 to 3")]
Seconds = Annotated[int, Field(ge=1, le=86_400, description="whole seconds from 1 to 86400")]
Count = Annotated[int, Field(ge=1, le=1_000_000, description="a whole number from 1 to 1000000")]
RoleIds = Annotated[tuple[Slug, ...], Field(min_length=1, description="ids of roles, at least one")]
RunbookId = Annotated[Slug, Field(description="the file name of the runbook, without runbooks/ and .md")]


class Declared(BaseModel):
    """The settings that every part of a declaration shares: unknown keys are refused, values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Links(Declared):
    """Where the links of a page lead."""

    runbooks: BaseUrl
    dashboards: BaseUrl


class Role(Declared):
    """Somebody who answers; `paged` says whether a page can reach them."""

    title: Title
    paged: bool = Field(description="true or false")


class Gate(Declared):
    """A duty of compliance that has to hold before money passes a stage."""

    id: Slug
    title: Title
    kind: GateKind
    owner_role: Slug = Field(description="the id of a role")


class Stage(Declared):
    """A step of the money's way."""

    id: SnakeId
    title: Title
    owner_role: Slug = Field(description="the id of a role")
    uses_providers: bool = Field(description="true or false")
    leads_to: tuple[SnakeId, ...] = Field(description="ids of stages")
    gates: tuple[Gate, ...] = Field(max_length=12, description="compliance gates, or []")


class Provider(Declared):
    """An acquirer. Money younger than `settle_deadline_seconds` is in flight, not missing.

    `licence` says on what grounds it may move money, `data_residency` where payment data come to lie.
    """

    id: SnakeId
    title: Title
    schemes: tuple[SnakeId, ...] = Field(min_length=1, description="ids from `schemes`")
    settle_deadline_seconds: Seconds
    licence: Title
    data_residency: Title


class Target(Declared):
    """A process that has to answer the scrape; `job` is its job and instance label."""

    job: Slug
    stage: SnakeId = Field(description="the id of a stage")
    roles: RoleIds
    runbook: RunbookId
    dashboard: Slug


class CheckAlerts(Declared):
    """The names of a check's two alerts: it found something, and it did not run."""

    violated: AlertName
    stale: AlertName


class Check(Declared):
    """An integrity check: gauges that have to be 0, and how long the check may be silent."""

    id: SnakeId
    title: Title
    stage: SnakeId = Field(description="the id of a stage")
    series: tuple[SeriesName, ...] = Field(min_length=1, description="names of gauges that have to be 0")
    stale_after_seconds: Seconds
    alerts: CheckAlerts
    roles: RoleIds
    runbook: RunbookId
    stale_runbook: RunbookId
    dashboard: Slug


class Watchdog(Declared):
    """The alert that always fires, and who looks when its heartbeat stops."""

    roles: RoleIds
    runbook: RunbookId
    dashboard: Slug
