"""The outcome of a payment that ended with an exception."""

from typing import Final

from moneypath.telemetry.catalogue.vocabulary import Outcome

# The attribute in which an exception states an outcome. HTTP client integrations set it.
STATED: Final = "payment_outcome"
# How many causes of an exception are examined.
CAUSES_LIMIT: Final = 8

_OUTCOMES: Final = frozenset(outcome.value for outcome in Outcome)


def outcome_of(error: BaseException | None) -> str:
    """Return the outcome that an exception or one of its causes states, else `failed`.

    Never raises.
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
    """Store an outcome on an exception if the exception accepts attributes."""
    try:
        setattr(error, STATED, outcome.value)
    except Exception:  # noqa: BLE001 - it leaves as it came
        return
