"""What an exception states about the payment that it ends."""

from typing import Final, NamedTuple

from moneypath.telemetry.catalogue.vocabulary import Outcome

# The attributes in which an exception states an outcome, and the provider whose failure it is. HTTP client
# integrations set both.
STATED: Final = "payment_outcome"
STATED_PROVIDER: Final = "payment_provider"
# How many causes of an exception are examined.
CAUSES_LIMIT: Final = 8

_OUTCOMES: Final = frozenset(outcome.value for outcome in Outcome)


class Said(NamedTuple):
    """The outcome and the provider that an exception states; None and empty if it states neither."""

    outcome: str | None = None
    provider: str = ""


NOTHING_SAID: Final = Said()


def said_by(error: BaseException | None, *, handled: bool) -> Said:
    """Return what an exception, or the first of its causes that states an outcome, says. Never raises.

    With `handled` an exception that was being handled when another was raised is a cause too, unless it was
    raised `from None`.
    """
    try:
        for _ in range(CAUSES_LIMIT):
            if error is None:
                break
            stated = getattr(error, STATED, None)
            if isinstance(stated, str) and stated in _OUTCOMES:
                provider = getattr(error, STATED_PROVIDER, "")
                return Said(stated, provider if isinstance(provider, str) else "")
            cause = error.__cause__
            if cause is None and handled and not error.__suppress_context__:
                cause = error.__context__
            error = cause
    except Exception:  # noqa: BLE001 - a property of somebody's exception must not hide the exception
        return NOTHING_SAID
    return NOTHING_SAID


def state_outcome(error: BaseException, outcome: Outcome, provider: str) -> None:
    """Store an outcome and a provider on an exception if the exception accepts attributes."""
    try:
        setattr(error, STATED, outcome.value)
        setattr(error, STATED_PROVIDER, provider)
    except Exception:  # noqa: BLE001 - it leaves as it came
        return
