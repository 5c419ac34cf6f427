"""Fixtures for the telemetry tests: a vocabulary, the whole catalogue and a recorder of it."""

from collections.abc import Callable

import pytest
from prometheus_client.parser import text_string_to_metric_families

from moneypath.telemetry import Catalogue, Recorder, setup

VOCABULARY = {
    "providers": ("north", "south"),
    "currencies": ("EUR", "USD", "JPY", "KWD"),
    "checks": ("ledger_balance", "capture_posting"),
    "schemes": ("visa", "mastercard"),
    "traffic": ("live", "canary", "drill"),
    "cohorts": ("control", "candidate"),
}

Read = Callable[..., float | None]


@pytest.fixture
def vocabulary() -> dict[str, tuple[str, ...]]:
    """Return a vocabulary that a test may change."""
    return dict(VOCABULARY)


@pytest.fixture
def catalogue(vocabulary: dict[str, tuple[str, ...]]) -> Catalogue:
    """Return the whole catalogue."""
    return Catalogue.build(vocabulary)


@pytest.fixture
def recorder(catalogue: Catalogue) -> Recorder:
    """Return a recorder of all metrics."""
    return setup(catalogue, service="refpay-api")


@pytest.fixture
def read(recorder: Recorder) -> Read:
    """Return a function that scrapes the recorder and reads one sample, None if it is absent."""

    def sample(name: str, **labels: str) -> float | None:
        # The parser reads a thousand lines in tens of milliseconds; one metric's are enough here.
        lines = [line for line in recorder.render().decode().splitlines() if line.startswith(name)]
        for family in text_string_to_metric_families("\n".join([*lines, ""])):
            for found in family.samples:
                if found.name == name and found.labels == labels:
                    return float(found.value)
        return None

    return sample
