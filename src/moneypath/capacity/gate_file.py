"""The gate file: which load, for how long, and within which limits a build passes."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, Self, TypeVar

from pydantic import Field, field_validator, model_validator

from moneypath.alerting.conventions import watchdog_name
from moneypath.path import yaml_document
from moneypath.path.durations import Duration
from moneypath.path.model import MoneyPath
from moneypath.path.objectives import AvailabilitySlo, EventsSlo, LatencySlo, Objective
from moneypath.path.parts import Declared, Ratio, Slug, Title
from moneypath.path.problems import DeclarationInvalid, DeclarationIssue, DeclarationIssues, key_text, suggest
from moneypath.path.source import Problem, parse_yaml, read_text
from moneypath.telemetry.catalogue.vocabulary import Operation

S = TypeVar("S", bound=Objective)


class Measure(StrEnum):
    """What the gate measures: machine, rate and evidence of the gate itself, the others of the build."""

    MACHINE = "machine"
    RATE = "rate"
    EVIDENCE = "evidence"
    AVAILABILITY = "availability"
    AUTHORIZATION_LATENCY = "authorization_latency"
    CLIENT_LATENCY = "client_latency"
    ANSWERS = "answers"
    REFUSALS = "refusals"
    APPROVALS = "approvals"
    LEDGER_WRITE_SUCCESS = "ledger_write_success"
    LEDGER_DURABILITY = "ledger_durability"
    ALERTS = "alerts"
    DRAIN = "drain"
    ORACLE = "oracle"
    METRICS = "metrics"
    RECONCILIATION_LAG = "reconciliation_lag"
    RECONCILIATION_BREAKS = "reconciliation_breaks"
    COST_PER_TRANSACTION = "cost_per_transaction"
    MEMORY = "memory"
    CONNECTIONS = "connections"
    PROCESSOR_TIME = "processor_time"
    BYTES_WRITTEN = "bytes_written"
    BASELINE = "baseline"


# Of the gate itself, and what no gate may do without: these are always required, so they are not listed.
GATE_PRECONDITIONS = frozenset({Measure.MACHINE, Measure.RATE, Measure.EVIDENCE})
ALWAYS_REQUIRED = GATE_PRECONDITIONS | {Measure.ALERTS, Measure.DRAIN, Measure.ORACLE, Measure.METRICS}

LEVEL_MAX: Final = Decimal("0.01")
# An authorization, a capture and a refund, each with its repetition.
REQUESTS_A_CHECKOUT: Final = 6

Whole = Annotated[int, Field(ge=1, le=10**12, description="a whole number from 1")]
Measures = Annotated[tuple[Measure, ...], Field(description="names of measures")]


class Load(Declared):
    """Checkouts per second, the number of users, and card ranges with their weights."""

    checkouts_per_second: Annotated[int, Field(ge=1, le=200, description="a whole number from 1 to 200")]
    users: Annotated[int, Field(ge=1, le=200, description="a whole number from 1 to 200")]
    card_ranges: Annotated[
        dict[Annotated[str, Field(pattern=r"^[45]\d{5}$")], Annotated[int, Field(ge=1, le=100)]],
        Field(min_length=1, description="six-digit card ranges, each with a weight from 1 to 100"),
    ]
    resend_ratio: Ratio
    # What the issuers of these cards approve; none is refused or blocked.
    approved_ratio: Ratio
    seed: Annotated[int, Field(ge=0, le=2**31, description="a whole number from 0")]


class Objectives(Declared):
    """The ids of the objectives of moneypath.yaml that the window has to meet."""

    availability: Slug = Field(description="the id of an objective of kind availability, of authorizations")
    authorization_latency: Slug = Field(description="the id of an objective of kind latency")
    ledger_write_success: Slug = Field(description="the id of an objective of kind events")


class Limits(Declared):
    """The limits that a build has to keep besides its objectives, and what the gate needs to measure.

    Growth is over the whole window.
    """

    others_at_most_ratio: Ratio
    least_rate_ratio: Ratio
    least_postings: Whole
    late_after: Duration = Field(gt=0, le=10, description="a duration such as 250ms")
    late_at_most_ratio: Ratio
    hung_after: Duration = Field(gt=0, le=60, description="a duration such as 3s")
    unanswered_at_most_ratio: Ratio
    refused_at_most_ratio: Ratio
    reconciliation_lag: Duration = Field(gt=0, le=3600, description="a duration such as 20s")
    cost_per_transaction_micro_units: Whole
    cost_above_tariff_at_most_ratio: Ratio
    memory_growth_mebibytes: Whole
    connections_left_open: Whole
    processor_microseconds_per_checkout: Whole
    bytes_written_per_checkout: Whole


class BaselineWindows(Declared):
    """How a build is compared with its baseline: in short windows of both in turn."""

    warm_up: Duration = Field(ge=1, le=60, description="a duration from 1s to 1m")
    windows: Annotated[int, Field(ge=5, le=40, description="windows of each build, from 5 to 40")]
    window: Duration = Field(ge=3, le=60, description="a duration from 3s to 1m")
    # The chance of a false alarm of all measures together.
    level: Ratio
    # A difference that does not matter: code that does the same differs by as much from process to process.
    worse_at_most_ratio: Ratio
    # A latency that is worse by so much has to be found, or the comparison is inconclusive.
    found_ratio: Ratio

    @field_validator("level")
    @classmethod
    def _at_most_one_percent(cls, level: Decimal) -> Decimal:
        if level > LEVEL_MAX:
            raise ValueError(f'should be at most "{LEVEL_MAX}"')
        return level

    @property
    def seconds(self) -> float:
        """Return how long all windows of both builds take."""
        return 2 * self.windows * self.window


@dataclass(frozen=True, slots=True)
class DeclaredObjectives:
    """The objectives that a gate file names, as moneypath.yaml declares them.

    `violations` are the alerts of gauges that have to be 0, however slow the machine is. `watchdog` is the
    alert that always fires.
    """

    availability: AvailabilitySlo
    latency: LatencySlo
    ledger_writes: EventsSlo
    violations: frozenset[str]
    watchdog: str

    @property
    def within_seconds(self) -> float:
        """Return the threshold of the latency objective, which is a bucket edge of its histogram."""
        return float(self.latency.threshold_seconds)


class Gate(Declared):
    """One release gate. Times are real; `scale` shortens only the windows of alerts."""

    title: Title
    scale: Annotated[int, Field(ge=1, le=60, description="a whole number from 1 to 60")]
    load: Load
    warm_up: Duration = Field(ge=5, le=300, description="a duration from 5s to 5m")
    duration: Duration = Field(ge=5, le=3600, description="a duration from 5s to 1h")
    drain: Duration = Field(ge=1, le=300, description="a duration from 1s to 5m")
    objectives: Objectives
    limits: Limits
    baseline: BaselineWindows
    required: Measures
    optional: Measures

    @model_validator(mode="after")
    def _every_measure_stands_once(self) -> Self:
        issues: list[DeclarationIssue] = []
        choice = ", ".join(measure for measure in Measure if measure not in ALWAYS_REQUIRED)
        listed = [("required", index, m) for index, m in enumerate(self.required)]
        listed += [("optional", index, m) for index, m in enumerate(self.optional)]
        seen: set[Measure] = set()
        for key, index, measure in listed:
            if measure in ALWAYS_REQUIRED:
                issues.append(
                    DeclarationIssue((key, index), f"{measure} is always required, and not listed", choice)
                )
            elif measure in seen:
                issues.append(DeclarationIssue((key, index), f"{measure} stands twice", "each measure once"))
            seen.add(measure)
        missing = [measure for measure in Measure if measure not in ALWAYS_REQUIRED | seen]
        if missing:
            what = f"{', '.join(missing)} is neither required nor optional"
            issues.append(DeclarationIssue(("required",), what, "each measure in one of the two"))
        if issues:
            raise DeclarationIssues(issues)
        return self

    def requires(self, measure: Measure) -> bool:
        """Return whether the gate fails when `measure` cannot be read."""
        return measure not in self.optional

    @property
    def planned_checkouts(self) -> float:
        """Return the most checkouts that the window can hold.

        Lost time is not made up for. Each user may begin one checkout more than its pacing gives.
        """
        return self.load.checkouts_per_second * self.duration + self.load.users

    @property
    def planned_requests(self) -> float:
        """Return the most requests of clients that the window can hold."""
        return self.planned_checkouts * REQUESTS_A_CHECKOUT


def load_gate(file: Path, path: MoneyPath) -> tuple[Gate, DeclaredObjectives]:
    """Return the gate in `file` with its objectives.

    Raises DeclarationInvalid, also for an objective that is not declared, or declared as another kind.
    """
    text = read_text(file)
    gate = parse_yaml(text, Gate, file=file)
    names = gate.objectives
    problems: list[DeclarationIssue] = []
    availabilities = [
        slo
        for slo in path.slos
        if isinstance(slo, AvailabilitySlo) and slo.operation == Operation.AUTHORIZE and slo.events is None
    ]
    latencies = [slo for slo in path.slos if isinstance(slo, LatencySlo)]
    events = [slo for slo in path.slos if isinstance(slo, EventsSlo)]
    availability = _find("availability", names.availability, availabilities, problems)
    latency = _find("authorization_latency", names.authorization_latency, latencies, problems)
    ledger_writes = _find("ledger_write_success", names.ledger_write_success, events, problems)
    if availability is None or latency is None or ledger_writes is None:
        lines = yaml_document.parse(text, 1)
        raise DeclarationInvalid(
            file, [Problem(lines.line(m.location), key_text(m.location), m.what, m.allowed) for m in problems]
        )
    violations = frozenset(check.alerts.violated for check in path.checks)
    return gate, DeclaredObjectives(availability, latency, ledger_writes, violations, watchdog_name(path))


def _find(key: str, wanted: str, candidates: Sequence[S], problems: list[DeclarationIssue]) -> S | None:
    found = next((slo for slo in candidates if slo.id == wanted), None)
    if found is None:
        ids = [slo.id for slo in candidates]
        what = f'moneypath.yaml has no such objective of this kind: "{wanted}"{suggest(wanted, ids)}'
        problems.append(DeclarationIssue(("objectives", key), what, ", ".join(ids)))
    return found
