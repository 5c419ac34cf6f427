"""What an exception that leaves a payment says became of the payment."""

from typing import Final

from moneypath.telemetry.catalogue.vocabulary import Outcome

# An exception may state an outcome in this attribute: a client that knows whether its request was sent does.
STATED: Final = "payment_outcome"
# How far an exception's causes are followed.
CAUSES_LIMIT: Final = 8

_OUTCOMES: Final = frozenset(outcome.value for outcome in Outcome)


def outcome_of(error: BaseException | None) -> str:
    """Return the outcome that an exception or a cause of it states; one that says nothing means `failed`.

    Never raises, whatever the exception is.
    """
    try:
        for _ in range(CAUSES_LIMIT):
            if error is None:
                break
            stated = getattr(error, STATED, None)
            if isinstance(stated, str) and stated in _OUTCOMES:
                return stated
            error = error.__cause__ or error.__context__
    except Exception:  # noqa: BLE001 - a property of somebody's exception must not hide the exception
        return Outcome.FAILED
    return Outcome.FAILED


def state_outcome(error: BaseException, outcome: Outcome) -> None:
    """Make an exception state an outcome, if it takes attributes at all."""
    try:
        setattr(error, STATED, outcome.value)
    except Exception:  # noqa: BLE001 - it leaves as it came
        return
