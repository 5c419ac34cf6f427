"""The board of the repository, and a real Prometheus that holds what a healthy money path exports."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from moneypath.alerting import rule_groups
from moneypath.alerting.analysis import known_series
from moneypath.dashboards.board import money_path_board
from moneypath.dashboards.model import Board
from moneypath.path.loader import build_catalogue, load
from moneypath.path.model import MoneyPath
from moneypath.stack import prometheus
from moneypath.stack.binaries import find
from moneypath.stack.ports import PortPool
from moneypath.stack.supervisor import Supervisor
from moneypath.telemetry.catalogue import MetricKind, MetricSpec

ROOT = Path(__file__).parents[2]
# A fixed time: what is proven does not depend on the day.
END = 1_790_000_000
SAMPLES, STEP = 60, 5
# Series that are there only when something is wrong.
ONLY_IN_TROUBLE = (
    "moneypath_indeterminate_oldest_timestamp_seconds",
    "moneypath_reconciliation_oldest_break_timestamp_seconds",
    "moneypath_queue_oldest_timestamp_seconds",
    "moneypath_integrity_alert_silence_end_timestamp_seconds",
)
# What rules record or export, with the labels that the board reads, and a healthy value.
RECORDED: Mapping[str, tuple[str, float]] = {
    "path:authorization_latency:p95_5m": ("", 0.02),
    "path:authorization_latency:p99_5m": ("", 0.04),
    "path:ledger_write_success:ratio_rate5m": ("", 1),
    "path:ledger_durability:ratio_rate5m": ("", 1),
    "path:cost_per_transaction:micro_units_rate5m": ("", 250_000),
    "path:authorization_approval:ratio_rate5m": ("", 0.95),
    "provider:authorization_approval:ratio_rate5m": ("provider", 0.95),
    "provider:webhook_signatures:ratio_rate5m": ("provider", 0.95),
    "provider:authorization_bad:ratio_rate5m": ("provider", 0),
    "provider:reconciliation_lag:seconds": ("provider", 40),
    "moneypath_target_expected": ("job", 1),
    "up": ("job", 1),
}

Serve = Callable[[str], AbstractAsyncContextManager[str]]


@pytest.fixture(scope="session")
def money_path() -> MoneyPath:
    """Return the declaration of the repository."""
    return load(ROOT / "moneypath.yaml")


@pytest.fixture(scope="session")
def board(money_path: MoneyPath) -> Board:
    """Return its board."""
    return money_path_board(money_path)


@pytest.fixture(scope="session")
def known(money_path: MoneyPath) -> frozenset[str]:
    """Return the name of every series that the service exports or the rules record."""
    return frozenset(known_series(money_path, rule_groups.build(money_path)))


@pytest.fixture
def healthy(money_path: MoneyPath) -> str:
    """Return five minutes of a healthy money path as OpenMetrics."""
    return openmetrics(money_path)


def openmetrics(path: MoneyPath, *, without: tuple[str, ...] = (), also: tuple[str, ...] = ()) -> str:
    """Write a healthy money path, `without` some series and with lines that are `also` there at the end."""
    lines: list[str] = []
    for spec in build_catalogue(path):
        if spec.name not in (*ONLY_IN_TROUBLE, *without):
            lines += _of_metric(spec)
    members = {"provider": path.provider_ids(), "job": tuple(target.job for target in path.targets)}
    for name, (label, value) in RECORDED.items():
        if name not in without:
            each = [f'{{{label}="{member}"}}' for member in members.get(label, ())] or [""]
            lines += [line for labels in each for line in _steady(f"{name}{labels}", value)]
    if "ALERTS" not in without:
        lines += _steady('ALERTS{alertname="MoneyPathWatchdog",alertstate="firing"}', 1)
    lines += [line for series in also for line in _steady(series, 1)]
    return "\n".join([*lines, "# EOF", ""])


def _of_metric(spec: MetricSpec) -> Iterator[str]:
    for number, values in enumerate(spec.combinations()):
        if number >= 800:
            return
        labels = dict(zip(spec.labels, values, strict=True))
        if spec.kind is MetricKind.HISTOGRAM:
            for edge in (*spec.buckets, "+Inf"):
                name = f"{spec.name}_bucket{_labels({**labels, 'le': str(edge)})}"
                yield from _growing(name)
        elif spec.kind is MetricKind.COUNTER:
            yield from _growing(f"{spec.name}{_labels(labels)}")
        else:
            value = END - 30 if spec.name.endswith("_timestamp_seconds") else _state(spec.name)
            yield from _steady(f"{spec.name}{_labels(labels)}", value)


def _state(name: str) -> float:
    return 1 if name == "moneypath_provider_routing_active" else 0


def _labels(labels: Mapping[str, str]) -> str:
    return "{" + ",".join(f'{name}="{value}"' for name, value in labels.items()) + "}" if labels else ""


def _steady(series: str, value: float) -> Iterator[str]:
    return (f"{series} {value:.10g} {END - place * STEP}" for place in reversed(range(SAMPLES)))


def _growing(series: str) -> Iterator[str]:
    return (f"{series} {2 * (SAMPLES - place)} {END - place * STEP}" for place in reversed(range(SAMPLES)))


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    """Return a context manager that serves a history from a real Prometheus and yields its address."""

    @asynccontextmanager
    async def serving(history: str) -> AsyncIterator[str]:
        with PortPool({}) as ports:
            port = ports.reserve("prometheus")
            folder = tmp_path / "prometheus"
            await prometheus.backfill(find("promtool"), folder / "data", history)
            async with Supervisor(tmp_path / "run") as supervisor:
                await supervisor.start(
                    prometheus.spec(find("prometheus"), folder, port, rule_files=[], scrape_targets={})
                )
                yield f"http://127.0.0.1:{port}"

    return serving
