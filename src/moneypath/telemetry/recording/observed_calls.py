"""What the observed calls inside a payment say of it: whose failure ended it, and may money have moved?

An HTTP client integration notes each of its calls in the payment that is active. A payment that an exception
ends, or that is finished without a provider, then knows the provider by which it ended.
"""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Final

from moneypath.telemetry.catalogue.vocabulary import NO_PROVIDER, Operation, Outcome
from moneypath.telemetry.recording.error_outcomes import said_by

# How a provider, or the way to it, let a call down. A decline is an answer.
_LET_DOWN: Final = frozenset(
    (None, Outcome.FAILED.value, Outcome.INDETERMINATE.value, Outcome.REJECTED.value, Outcome.SHED.value)
)
_MAY_HAVE_MOVED: Final = frozenset((Outcome.SUCCEEDED.value, Outcome.INDETERMINATE.value))


class CallNote:
    """One call. Its outcome is None until it ended."""

    __slots__ = ("_calls", "moves_money", "outcome", "provider")

    def __init__(self, calls: "ObservedCalls", provider: str, *, moves_money: bool) -> None:
        self._calls = calls
        self.provider = provider
        self.moves_money = moves_money
        self.outcome: str | None = None

    def end(self, outcome: str) -> None:
        """Note how the call ended."""
        self.outcome = str(outcome)
        self._calls.note_end(self)


class ObservedCalls:
    """The calls of one payment: the last one, and whether any may have moved money."""

    __slots__ = ("_last", "_moved", "_open")

    def __init__(self) -> None:
        self._last: CallNote | None = None
        self._moved = False
        self._open = 0

    def begin(self, provider: str, operation: str) -> CallNote:
        """Note that a call begins. A query moves no money."""
        note = CallNote(self, provider, moves_money=operation != Operation.QUERY)
        self._last = note
        if note.moves_money:
            self._open += 1
        return note

    def note_end(self, note: CallNote) -> None:
        """Note that a call ended, which makes it the last one."""
        self._last = note
        if note.moves_money:
            self._open -= 1
            self._moved = self._moved or note.outcome in _MAY_HAVE_MOVED

    @property
    def may_have_moved(self) -> bool:
        """Return whether money may have moved: a call succeeded, was not answered, or has not ended."""
        return self._moved or self._open > 0

    @property
    def failing_provider(self) -> str:
        """Return the provider that let the last call down; none if it answered, or was not called."""
        last = self._last
        return last.provider if last is not None and last.outcome in _LET_DOWN else NO_PROVIDER

    @property
    def last_provider(self) -> str:
        """Return the provider of the last call; none without one."""
        return NO_PROVIDER if self._last is None else self._last.provider

    @property
    def any(self) -> bool:
        """Return whether there was a call."""
        return self._last is not None


# The calls of the payment that is active; tasks that it starts note theirs there too.
CALLS: Final[ContextVar[ObservedCalls | None]] = ContextVar("moneypath_payment_calls", default=None)
get_calls: Final[Callable[[], ObservedCalls | None]] = CALLS.get


def ending_by(error: BaseException | None, calls: ObservedCalls | None, provider: str) -> tuple[str, str]:
    """Return the outcome and the provider of a payment that an exception ends. Never raises.

    `provider` is the payment's own, which counts where no call was observed. What the exception states counts
    first. Without that it is the failure of the provider that let the last call down. An exception after an
    answer is our own failure: `failed` without a provider, and `indeterminate` if money may have moved.
    """
    said = said_by(error)
    if calls is None or not calls.any:
        return said.outcome or Outcome.FAILED.value, said.provider or provider
    outcome = said.outcome
    # An observed call knows itself alone: an earlier one may have moved money.
    if (outcome is None or (said.provider and outcome == Outcome.FAILED)) and calls.may_have_moved:
        outcome = Outcome.INDETERMINATE.value
    return outcome or Outcome.FAILED.value, said.provider or calls.failing_provider


def provider_of(outcome: str, calls: ObservedCalls | None, provider: str) -> str:
    """Return the provider of a payment that was finished without one.

    A failure counts for the provider that let the last call down, any other outcome for the last one called.
    """
    if calls is None or not calls.any:
        return provider
    return calls.failing_provider if outcome in _LET_DOWN else calls.last_provider
