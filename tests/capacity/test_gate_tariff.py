"""The declared fees of what clients captured, whatever the build counts."""

import pytest

from moneypath.capacity.counters import Window
from moneypath.capacity.tariff import dearest_fees
from moneypath.oracle import Acknowledgement, Operation, Outcome
from moneypath.path.model import MoneyPath

WINDOW = Window(10.0, 20.0, 22.0)


def _answer(key: str, at: float = 15.0, **changes: object) -> Acknowledgement:
    fields: dict[str, object] = {
        "at": at,
        "operation": Operation.CAPTURE,
        "idempotency_key": key,
        "merchant_reference": key,
        "payment_id": "p",
        "amount_minor": 10_000,
        "currency": "EUR",
        "status_code": 200,
        "outcome": Outcome.SUCCEEDED,
        "replayed": False,
        **changes,
    }
    return Acknowledgement(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("currency", "amount_minor", "fee"),
    [
        ("EUR", 10_000, 1.50),
        ("EUR", 100, 0.16),
        ("USD", 10_000, 1.51 * 0.92),
        ("JPY", 100_000, 1416 * 0.0061),
    ],
)
def test_a_capture_costs_what_the_dearest_provider_takes(
    path: MoneyPath, currency: str, amount_minor: int, fee: float
) -> None:
    """South for small amounts, north for large ones; in micro-units of the reporting currency."""
    answers = [_answer("a", currency=currency, amount_minor=amount_minor)]
    assert dearest_fees(path, answers, WINDOW) == pytest.approx(fee * 1e6)


def test_each_capture_of_the_window_counts_once(path: MoneyPath) -> None:
    """A repeated answer, one outside of the window, a refusal and another operation do not."""
    answers = [
        _answer("before", 9.0),
        _answer("before", 12.0),
        _answer("a"),
        _answer("a", 16.0, replayed=True),
        _answer("refused", outcome=Outcome.REJECTED),
        _answer("refund", operation=Operation.REFUND),
        _answer("after", 23.0),
    ]
    assert dearest_fees(path, answers, WINDOW) == pytest.approx(1.5e6)
