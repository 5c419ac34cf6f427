"""An exception can state the outcome of the payment that it ends."""

from collections.abc import Callable

import pytest

from moneypath.telemetry import Recorder
from moneypath.telemetry.recording.error_outcomes import NOTHING_SAID, said_by

Read = Callable[..., float | None]


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        ("indeterminate", "indeterminate"),
        ("blocked", "blocked"),
        ("no such outcome", "failed"),
        (7, "failed"),
    ],
)
@pytest.mark.parametrize("wrapped", [False, True])
def test_exception_may_say_what_became_of_its_payment(
    recorder: Recorder, read: Read, said: object, outcome: str, wrapped: bool
) -> None:
    """The outcome of the exception or of its cause counts; an unknown outcome does not."""
    known = TimeoutError()
    known.payment_outcome = said  # type: ignore[attr-defined]

    def pay() -> None:
        with recorder.payment("authorize"):
            if not wrapped:
                raise known
            raise RuntimeError from known

    with pytest.raises((TimeoutError, RuntimeError)):
        pay()
    labels = {"operation": "authorize", "provider": "none", "traffic": "live", "cohort": "control"}
    assert read("moneypath_payments_total", outcome=outcome, **labels) == 1


def test_exception_that_cannot_be_asked_is_failed() -> None:
    """A property that raises and a cycle of causes mean `failed`."""

    class Broken(Exception):
        @property
        def payment_outcome(self) -> str:
            raise RuntimeError

    assert said_by(Broken(), handled=True) == NOTHING_SAID
    first, second = ValueError(), ValueError()
    first.__cause__, second.__cause__ = second, first
    assert said_by(first, handled=True) == NOTHING_SAID
    assert said_by(None, handled=True) == NOTHING_SAID
