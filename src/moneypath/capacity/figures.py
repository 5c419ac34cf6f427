"""The figures of one gate run; None is unknown, not 0."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from moneypath import oracle
from moneypath.capacity.client import ClientFigures
from moneypath.capacity.counters import Window
from moneypath.capacity.histogram import Histogram
from moneypath.capacity.permutation import Difference, WindowMeasures
from moneypath.capacity.resources import ResourceSample

MAX_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Tally:
    """Valid events, and the bad ones among them."""

    valid: float
    bad: float

    @property
    def good_share(self) -> float | None:
        """Return the share of good events; None without events."""
        return None if self.valid <= 0 else (self.valid - self.bad) / self.valid


@dataclass(frozen=True, slots=True)
class FiredAlert:
    """An alert that fired in the window, `after_seconds` from its start.

    `integrity`: it reports a failed check, and not an objective of latency or success.
    """

    name: str
    severity: str
    about: str
    after_seconds: float
    integrity: bool = False


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """How far behind the slowest provider is, in seconds, and how many differences are open."""

    lag_seconds: float
    breaks: float | None


@dataclass(frozen=True, slots=True)
class Cost:
    """Cost in millionths of the reporting currency, and the captured payments that caused it."""

    micro_units: float
    captured: float

    @property
    def per_transaction(self) -> float | None:
        """Return micro-units for each captured payment; None when nothing was captured or no cost counted."""
        return self.micro_units / self.captured if self.captured > 0 and self.micro_units > 0 else None


@dataclass(frozen=True, slots=True)
class Comparison:
    """How the build compares with a baseline; `unusable` says why that baseline cannot be compared, or "".

    Unless `sighted`, the windows differed so much that they would not have shown a slower build either.
    """

    baseline: str
    build_windows: tuple[WindowMeasures, ...] = ()
    baseline_windows: tuple[WindowMeasures, ...] = ()
    differences: tuple[Difference, ...] = ()
    unusable: str = ""
    sighted: bool = True


@dataclass(frozen=True, slots=True)
class Audit:
    """The audit report in the gate's terms: how many discrepancies of each kind, with examples."""

    postings: int
    discrepancies: Mapping[str, int]
    examples: tuple[str, ...]
    missing_evidence: tuple[str, ...]

    @classmethod
    def of(cls, verdict: oracle.AuditReport) -> "Audit":
        """Return an audit report of the oracle in the gate's terms."""
        kinds = Counter(found.kind.value for found in verdict.discrepancies)
        return cls(
            postings=verdict.rows.posted_captures,
            discrepancies=dict(sorted(kinds.items())),
            examples=_one_of_each_kind(verdict.discrepancies),
            missing_evidence=verdict.missing_evidence,
        )


@dataclass(frozen=True, slots=True)
class WindowCounts:
    """What raw counters and alerts say of the window so far."""

    authorizations: Tally | None = None
    latency: Histogram | None = None
    ledger_writes: Tally | None = None
    probe: Tally | None = None
    alerts: tuple[FiredAlert, ...] | None = None
    cost: Cost | None = None
    postings: float | None = None


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything that the verdict is computed from.

    `undrained` says why the drain failed, "" when it did not. `others_share` is the share of the machine that
    other work used, 0 to 1.
    """

    window: Window
    counted: WindowCounts
    checkouts: int | None = None
    drain_seconds: float | None = None
    undrained: str = ""
    reconciliation: Reconciliation | None = None
    audit: Audit | None = None
    # Where the metrics differ from clients, ledger and providers over the whole run; None if not compared.
    metric_lies: tuple[str, ...] | None = None
    others_share: float | None = None
    client: ClientFigures | None = None
    # What the captures of the clients cost at most by the declared fees, in micro-units.
    tariff_micro_units: float | None = None
    resources: tuple[ResourceSample, ...] | None = None
    # Open connections and files of the build, before the load began and after it was resolved.
    connections: tuple[int, int] | None = None
    comparison: Comparison | None = None


def _one_of_each_kind(found: Iterable[oracle.Discrepancy]) -> tuple[str, ...]:
    first: dict[str, str] = {}
    for each in found:
        first.setdefault(each.kind.value, f"{each.kind}: {each.subject}: {each.detail}")
    return tuple(first.values())[:MAX_EXAMPLES]
