"""The committed gate, the money path it is for, and the figures of a run that went well."""

import math

import pytest

from moneypath.capacity.client import ClientFigures
from moneypath.capacity.counters import Window
from moneypath.capacity.figures import Audit, Cost, Figures, Reconciliation, Tally, WindowCounts
from moneypath.capacity.gate_file import Gate, Measure, load_gate
from moneypath.capacity.histogram import Histogram
from moneypath.path.loader import FILE_NAME, load
from moneypath.path.model import MoneyPath

from .changed_figures import GATE_FILE, PROJECT, compared, one_request, one_sample


@pytest.fixture(scope="session")
def path() -> MoneyPath:
    """The declaration as it is committed."""
    return load(PROJECT / FILE_NAME)


@pytest.fixture(scope="session")
def gate_text() -> str:
    """The gate file's text."""
    return GATE_FILE.read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def gate(path: MoneyPath) -> Gate:
    """The committed gate with every measure required."""
    committed, _ = load_gate(GATE_FILE, path)
    return committed.model_copy(update={"required": tuple(Measure), "optional": ()})


@pytest.fixture(scope="session")
def lenient(path: MoneyPath) -> Gate:
    """The committed gate with every measure optional that may be."""
    committed, _ = load_gate(GATE_FILE, path)
    return committed.model_copy(
        update={"required": (), "optional": (*committed.required, *committed.optional)}
    )


@pytest.fixture(scope="session")
def good(gate: Gate) -> Figures:
    """A whole window at the asked rate in which nothing went wrong."""
    seconds = gate.duration
    checkouts = round(gate.load.checkouts_per_second * seconds)
    counts = {0.1: 0.9 * checkouts, 1.0: float(checkouts), 10.0: float(checkouts), math.inf: float(checkouts)}
    counted = WindowCounts(
        authorizations=Tally(checkouts, 0),
        latency=Histogram(counts),
        ledger_writes=Tally(checkouts, 0),
        probe=Tally(500, 0),
        alerts=(),
        cost=Cost(3e6 * checkouts, checkouts),
        postings=float(gate.limits.least_postings),
    )
    start = 1000.0
    return Figures(
        window=Window(1000.0, 1000.0 + seconds, 1003.0 + seconds),
        counted=counted,
        checkouts=checkouts,
        drain_seconds=0.5,
        reconciliation=Reconciliation(4.0, 0.0),
        audit=Audit(checkouts, {}, (), ()),
        metric_lies=(),
        others_share=0.05,
        client=ClientFigures(
            (one_request(start + n * seconds / 3000, approved=n % 100 >= 3) for n in range(1, 3001)),
            start=start,
            until=start + seconds,
            now=start + seconds,
        ),
        tariff_micro_units=3e6 * checkouts,
        resources=tuple(one_sample(start + second) for second in range(round(seconds) + 1)),
        connections=(80, 95),
        comparison=compared(),
    )
