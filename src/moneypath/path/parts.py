"""The parts of a declaration as pydantic models: what each key of `moneypath.yaml` may hold."""

import re
from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, ClassVar, Final, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from moneypath.path.problems import DeclarationIssue, DeclarationIssues
from moneypath.path.sql_checks import VIOLATIONS, SqlCheck, sql_check_issues


class ControlKind(StrEnum):
    """The kind of a compliance control."""

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


def _level(value: object) -> Decimal:
    return Decimal(value) if isinstance(value, int) and not isinstance(value, bool) else _decimal(value)


Ratio = Annotated[
    Decimal,
    BeforeValidator(_decimal),
    Field(gt=0, lt=1, description='a decimal in quotes above 0 and below 1, such as "0.999"'),
]
PositiveDecimal = Annotated[
    Decimal,
    BeforeValidator(_decimal),
    Field(gt=0, description='a decimal in quotes above 0, such as "0.70"'),
]
Level = Annotated[
    Decimal,
    BeforeValidator(_level),
    Field(
        ge=0,
        le=1_000_000_000,
        description='a whole number from 0 to 1000000000, or a decimal in quotes, such as "0.9"',
    ),
]
Slug = Annotated[
    str,
    Field(
        pattern=r"^[a-z][a-z0-9]*(?:-[a-z0-9]+)*$",
        max_length=60,
        description="lower-case words joined by -, such as partial-provider-outage",
    ),
]
SNAKE_ID: Final = r"^[a-z][a-z0-9]*(?:_[a-z0-9]+)*$"
SnakeId = Annotated[
    str,
    Field(
        pattern=SNAKE_ID,
        max_length=60,
        description="lower-case words joined by _, such as ledger_balance",
    ),
]
Title = Annotated[
    str,
    Field(min_length=1, max_length=100, pattern=r"^[^\n{}]+$", description="one line of text without braces"),
]
CurrencyCode = Annotated[
    str,
    Field(
        pattern=r"^[A-Z][A-Z0-9]{2,11}$",
        description="three capital letters of ISO 4217, or 3 to 12 capital letters and digits, such as USDC",
    ),
]
BaseUrl = Annotated[
    str,
    Field(
        pattern=r"^https?://[^\s{}?#]+/$", max_length=200, description="an http or https URL that ends in /"
    ),
]
SeriesName = Annotated[
    str,
    Field(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$", max_length=150, description="the name of a Prometheus series"),
]
AlertName = Annotated[
    str,
    Field(
        pattern=r"^[A-Z][A-Za-z0-9]+$",
        max_length=60,
        description="alerts.prefix, an object and a condition in CamelCase, such as MoneyPathLedgerImbalance",
    ),
]
AlertPrefix = Annotated[
    str,
    Field(
        pattern=r"^[A-Z][A-Za-z0-9]*$",
        max_length=30,
        description="a word in CamelCase that the names of all alerts begin with, such as MoneyPath",
    ),
]
Exponent = Annotated[int, Field(ge=0, le=18, description="the decimals of the minor unit, 0 to 18")]
LabelName = Annotated[
    str, Field(pattern=r"^[a-zA-Z][a-zA-Z0-9_]*$", max_length=60, description="a label of the series")
]
# What would end a text of PromQL, or be a variable of Grafana, is no value; `matchers` writes all others.
LabelValue = Annotated[
    str,
    Field(
        pattern=r'^[^\x00-\x1f\x7f"\\$^`]+$',
        max_length=128,
        description='a value of the label, without ", \\, $, ^ and `',
    ),
]
Seconds = Annotated[int, Field(ge=1, le=86_400, description="whole seconds from 1 to 86400")]
Count = Annotated[int, Field(ge=1, le=1_000_000, description="a whole number from 1 to 1000000")]
RoleId = Annotated[
    str,
    Field(
        pattern=r"^[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*$",
        max_length=32,
        description="lower-case words joined by - or _, such as eng or on-call",
    ),
]
"""One pattern wherever a role is named: label of an alert, address of a pager, runbook, drill."""
RoleIds = Annotated[tuple[RoleId, ...], Field(min_length=1, description="ids of roles, at least one")]
StageId = Annotated[SnakeId, Field(description="the id of a stage")]
RunbookId = Annotated[Slug, Field(description="the file name of the runbook, without runbooks/ and .md")]


# The board that is always generated.
DEFAULT_DASHBOARD: Final = "money-path"
DEFAULT_STALE_SECONDS: Final = 480


class Declared(BaseModel):
    """The base of every part of a declaration: unknown keys are refused, values are frozen.

    Text and tuples that may be left out have an empty default; `defaults` fills in what depends on others.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)


class Links(Declared):
    """The base addresses of the links in a page: by default the place in the project, and in Grafana."""

    runbooks: BaseUrl = "runbooks/"
    dashboards: BaseUrl = "/d/"


class Alerts(Declared):
    """What the names of all alerts have in common, and whose alerts page.

    With an `environment` the alerts of every other one page nobody; Prometheus' external label `environment`
    says which one an alert is of.
    """

    prefix: AlertPrefix = "MoneyPath"
    environment: Slug | None = None


class Role(Declared):
    """A person or team that answers; `paged` says whether a page can reach them."""

    title: Title = ""
    paged: bool = Field(default=True, description="true or false")


class ComplianceControl(Declared):
    """What compliance demands at a stage before money passes it."""

    id: Slug
    title: Title
    kind: ControlKind
    owner_role: RoleId = Field(description="the id of a role")


class Stage(Declared):
    """A step that money takes."""

    RENAMED_KEYS: ClassVar[Mapping[str, str]] = {"gates": "controls"}

    id: SnakeId
    title: Title = ""
    owner_role: RoleId = Field(default="", description="the id of a role")
    uses_providers: bool = Field(default=False, description="true or false")
    leads_to: tuple[SnakeId, ...] = Field(default=(), description="ids of stages")
    controls: tuple[ComplianceControl, ...] = Field(
        default=(), max_length=12, description="compliance controls, or []"
    )


class Provider(Declared):
    """Who moves money for us. Money younger than `outcome_deadline_seconds` is in flight, not missing.

    `licence` says on what grounds it may move money, `data_residency` where it keeps payment data.
    """

    RENAMED_KEYS: ClassVar[Mapping[str, str]] = {"settle_deadline_seconds": "outcome_deadline_seconds"}

    id: SnakeId
    title: Title = ""
    schemes: tuple[SnakeId, ...] = Field(default=(), min_length=1, description="ids from `schemes`")
    outcome_deadline_seconds: Seconds = 15
    licence: Title = "not declared"
    data_residency: Title = "not declared"


class Target(Declared):
    """A service whose processes must answer the scrape; `job` is its label.

    Every instance that Prometheus knows has to answer, and at least `instances` of them.
    """

    job: Slug
    instances: Annotated[int, Field(ge=1, le=10_000, description="a whole number from 1 to 10000")] = 1
    stage: StageId = ""
    roles: RoleIds = ()
    runbook: RunbookId = ""
    dashboard: Slug = DEFAULT_DASHBOARD


class CheckAlerts(Declared):
    """The names of the two alerts of a check: a violation, and a check that did not run."""

    violated: AlertName = ""
    stale: AlertName = ""


class Check(Declared):
    """An integrity check: gauges that must be 0, and how long the check may be silent.

    With `sql` it is run by `moneypath exporter` on a database of the team's own.
    """

    id: SnakeId
    title: Title = ""
    stage: StageId = ""
    series: tuple[SeriesName, ...] = Field(min_length=1, description="names of gauges that have to be 0")
    stale_after_seconds: Seconds = DEFAULT_STALE_SECONDS
    alerts: CheckAlerts = CheckAlerts()
    roles: RoleIds = ()
    runbook: RunbookId = ""
    stale_roles: RoleIds = ()
    stale_runbook: RunbookId = ""
    dashboard: Slug = DEFAULT_DASHBOARD
    sql: SqlCheck | None = None

    @model_validator(mode="after")
    def _refuse_contradictions(self) -> Self:
        if self.sql is None:
            return self
        found = list(sql_check_issues(self.sql, self.stale_after_seconds))
        if self.series != (VIOLATIONS,):
            what = "is not the gauge that `moneypath exporter` shows"
            found.append(DeclarationIssue(("series",), what, f"[{VIOLATIONS}]"))
        if found:
            raise DeclarationIssues(found)
        return self


class Watchdog(Declared):
    """The alert that always fires, and the roles that look when its heartbeat stops."""

    roles: RoleIds = ()
    runbook: RunbookId = ""
    dashboard: Slug = DEFAULT_DASHBOARD
