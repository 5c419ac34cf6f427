"""A small catalogue, and workers that share their metrics although they run in one process."""

import secrets
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from moneypath.telemetry import Catalogue, Merge, MetricKind, MetricSpec, Recorder, setup
from moneypath.telemetry.recording.multiprocess.store import SharedStore

PAYMENTS = (
    "moneypath_payments_total",
    "moneypath_payment_duration_seconds",
    "moneypath_payments_in_flight",
)
OWN = (
    "moneypath_telemetry_records_total",
    "moneypath_telemetry_drops_total",
    "moneypath_telemetry_render_seconds_total",
)
SIDES = {"side": ("left", "right")}

Scrape = Callable[[Recorder], dict[str, float]]


@pytest.fixture(scope="session")
def small() -> Catalogue:
    """Return a small catalogue with a metric of each kind and the payment metrics."""
    whole = Catalogue.build(
        {"providers": ("north", "south"), "currencies": ("EUR",), "checks": ("ledger",), "schemes": ("visa",)}
    )
    gauges = [
        MetricSpec(
            f"moneypath_{merge}_level", MetricKind.GAUGE, "-", labels=SIDES, series_budget=2, merge=merge
        )
        for merge in Merge
    ]
    return Catalogue.of(
        [
            *(replace(whole[name], precreate=False) for name in (*PAYMENTS, *OWN)),
            MetricSpec("moneypath_steps_total", MetricKind.COUNTER, "-", labels=SIDES, series_budget=2),
            MetricSpec(
                "moneypath_stride_seconds",
                MetricKind.HISTOGRAM,
                "-",
                unit=whole["moneypath_payment_duration_seconds"].unit,
                labels=SIDES,
                buckets=(0.5, 1.0),
                series_budget=10,
            ),
            *gauges,
        ]
    )


@pytest.fixture
def start(small: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Recorder]:
    """Return a function that starts another worker of the same service. Workers are read in that order."""
    numbers = count()
    monkeypatch.setattr(secrets, "token_hex", lambda size: f"{next(numbers):0{2 * size}x}")
    return lambda: setup(small, service="api", shared=tmp_path / "group")


@pytest.fixture
def kill() -> Callable[[Recorder], None]:
    """Return a function that releases a worker's lock, which is all that others notice of its death."""

    def end(recorder: Recorder) -> None:
        assert isinstance(recorder._store, SharedStore)
        recorder._store._file.abandon()

    return end


@pytest.fixture
def files(tmp_path: Path) -> Callable[[], list[str]]:
    """Return a function that lists the worker files in the group's folder."""
    return lambda: sorted(path.name for path in (tmp_path / "group").glob("*/*.points"))


@pytest.fixture
def scrape() -> Scrape:
    """Return a function that scrapes one worker and returns values by sample line."""

    def samples(recorder: Recorder) -> dict[str, float]:
        lines = [line for line in recorder.render().decode().splitlines() if not line.startswith("#")]
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}

    return samples
