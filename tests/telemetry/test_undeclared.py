"""What is not declared is told once, and what is declared alone has series."""

import pytest

from moneypath.telemetry import Recorder, setup
from moneypath.telemetry.errors import CatalogueInvalid
from moneypath.telemetry.recording.undeclared import PLACES_LIMIT, UndeclaredLog

SMALL = {"providers": ["north", "south"], "currencies": ["EUR"]}


class Unhashable:
    """A value that no label can have."""

    __hash__ = None  # type: ignore[assignment]

    def __str__(self) -> str:
        """Raise, as somebody's object may."""
        raise RuntimeError


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the warnings of the library."""
    return [record.getMessage() for record in caplog.records if record.name == "moneypath.telemetry"]


@pytest.fixture
def service() -> Recorder:
    """Return the recorder of a small service."""
    return setup(service="shop", **SMALL)  # type: ignore[arg-type]


def series(recorder: Recorder) -> list[str]:
    """Return the lines of a scrape that are samples."""
    return [line for line in recorder.render().decode().splitlines() if not line.startswith("#")]


def test_an_undeclared_operation_is_told_once(service: Recorder, caplog: pytest.LogCaptureFixture) -> None:
    """With what is declared; it is counted each time."""
    for _ in range(3):
        with service.payment("top_up") as payment:
            payment.finish("succeeded", "north")
        service.begin("top_up").finish(1, "succeeded", "north")
    (line,) = told(caplog)
    assert line.startswith("moneypath_payments_total: operation 'top_up' is not declared")
    assert "Declared: authorize, capture" in line
    assert 'moneypath_telemetry_drops_total{reason="unknown_value"} 6' in series(service)


def test_each_place_is_told_for_itself(service: Recorder, caplog: pytest.LogCaptureFixture) -> None:
    """Outcome and provider of a payment, a label of a counter, a label that it does not have."""
    for _ in range(2):
        with service.payment("authorize") as payment:
            payment.finish("APPROVED", "mars")
        service.counter("moneypath_ledger_writes_total").inc(kind="posting", outcome="WRITTEN")
        service.counter("moneypath_ledger_writes_total").inc(kind="posting", result="committed")
        with service.payment("authorize", traffic="canary") as payment:
            payment.finish("succeeded", "north")
    found = told(caplog)
    assert [line.partition(" is not")[0] for line in found] == [
        "moneypath_payments_total: outcome 'APPROVED'",
        "moneypath_payments_total: provider 'mars'",
        "moneypath_ledger_writes_total: outcome 'WRITTEN'",
        "moneypath_ledger_writes_total: label set 'kind, result'",
        "moneypath_payments_total: traffic 'canary'",
    ]


def test_what_is_told_is_redacted_short_and_bounded(caplog: pytest.LogCaptureFixture) -> None:
    """A card number passed as a label, a value without end, one that cannot be written, many places."""
    log = UndeclaredLog()
    log.tell("m", "card", "4111111111111111", ["a"])
    log.tell("m", "long", "x y " * 1000, [f"value-{number}" for number in range(500)])
    log.tell("m", "odd", Unhashable(), [])
    for number in range(2 * PLACES_LIMIT):
        log.tell("m", f"label-{number}", "x", [])
    found = told(caplog)
    assert "4111111111111111" not in "".join(found)
    assert max(map(len, found)) < 400
    assert len(found) == PLACES_LIMIT - 1


def test_a_value_of_any_kind_reaches_no_payment(service: Recorder) -> None:
    """What cannot be hashed or written is dropped, and raises nothing."""
    with service.payment("authorize") as payment:
        payment.finish(Unhashable(), Unhashable())  # type: ignore[arg-type]
    with service.payment(Unhashable()) as payment:  # type: ignore[arg-type]
        payment.finish("succeeded", "north")
    service.counter("moneypath_ledger_writes_total").inc(kind=Unhashable(), outcome="committed")  # type: ignore[arg-type]
    assert 'moneypath_telemetry_drops_total{reason="unknown_value"} 3' in series(service)


def test_own_operations_replace_ours() -> None:
    """A wallet has no captures; its first scrape has no series of any."""
    service = setup(service="wallet", operations=["top_up", "withdraw"], **SMALL)  # type: ignore[arg-type]
    with service.payment("top_up") as payment:
        payment.finish("succeeded", "north")
    text = "\n".join(series(service))
    assert 'moneypath_payments_total{operation="top_up",outcome="succeeded",provider="north"' in text
    assert 'operation="capture"' not in text


def test_the_first_scrape_of_a_small_service_is_hundreds_of_series() -> None:
    """Other traffic and cohorts exist where they are declared, and then before their first failure."""
    small = setup(service="shop", operations=["authorize"], **SMALL)  # type: ignore[arg-type]
    lines = series(small)
    assert len(lines) < 400
    assert not [line for line in lines if 'traffic="canary"' in line or 'cohort="candidate"' in line]
    more = setup(
        service="shop",
        operations=["authorize"],
        traffic=["canary"],
        cohorts=["candidate"],
        **SMALL,  # type: ignore[arg-type]
    )
    expected = (
        'moneypath_payments_total{operation="authorize",outcome="failed",provider="north",traffic="canary",'
        'cohort="candidate"} 0.0'
    )
    assert expected in series(more)


@pytest.mark.parametrize("key", ["operations", "traffic", "cohorts"])
def test_bad_names_are_refused_by_key(key: str) -> None:
    """A string for a list, a name twice, a card number."""
    for given in ("canary", ["a", "a"], ["4111111111111111"], [7]):
        with pytest.raises(CatalogueInvalid) as refused:
            setup(service="shop", **SMALL, **{key: given})  # type: ignore[arg-type]
        assert key.removesuffix("s") in str(refused.value)
