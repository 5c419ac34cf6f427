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
    outcome.value for outcome in (Outcome.FAILED, Outcome.INDETERMINATE, Outcome.REJECTED, Outcome.SHED)
)
# Whatever else a call ended with, money may have moved: a misspelt outcome is no proof of the contrary.
_NOTHING_MOVED: Final = frozenset(
    outcome.value
    for outcome in (Outcome.DECLINED, Outcome.BLOCKED, Outcome.FAILED, Outcome.REJECTED, Outcome.SHED)
)


class StrayCalls:
    """How many calls that may move money a process made outside any payment.

    A pool of threads and a copied context do not know the payment for which they call.
    """

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0

    def add(self, operation: str) -> None:
        """Count a call; a query moves no money."""
        if operation != Operation.QUERY:
            self.count += 1


class CallNote:
    """One call. Its outcome is None until it ended."""

    __slots__ = ("_calls", "is_cancelled", "moves_money", "outcome", "provider")

    def __init__(self, calls: "ObservedCalls", provider: str, *, moves_money: bool) -> None:
        self._calls = calls
        self.provider = provider
        self.moves_money = moves_money
        self.outcome: str | None = None
        self.is_cancelled = False

    @property
    def let_down(self) -> bool:
        """Return whether the provider failed, refused, or has not answered."""
        return self.outcome is None or self.outcome in _LET_DOWN

    def end(self, outcome: object, *, is_cancelled: bool = False) -> None:
        """Note how the call ended. Never raises; an outcome may be of any class that is a string."""
        self.outcome = str.__str__(outcome) if isinstance(outcome, str) else ""
        self.is_cancelled = is_cancelled
        self._calls.note_end(self)


class ObservedCalls:
    """The calls of one payment: the last one, and whether any may have moved money.

    A query moves no money, and counts as the last call only while there is no other.
    """

    __slots__ = ("_last", "_moved", "_open", "_stray", "_stray_before", "is_over")

    def __init__(self, stray: StrayCalls) -> None:
        self.is_over = False
        self._stray = stray
        self._stray_before = stray.count
        self._last: CallNote | None = None
        self._moved = False
        self._open = 0

    def begin(self, provider: str, operation: str) -> CallNote:
        """Note that a call begins."""
        note = CallNote(self, provider, moves_money=operation != Operation.QUERY)
        self._put_last(note)
        if note.moves_money:
            self._open += 1
        return note

    def note_end(self, note: CallNote) -> None:
        """Note that a call ended, which makes it the last one."""
        if note.moves_money:
            self._open -= 1
            self._moved = self._moved or note.outcome not in _NOTHING_MOVED
        last = self._last
        if note.is_cancelled and last is not None and last is not note and last.outcome in _LET_DOWN:
            # Given up because another call had failed, which is the one that counts.
            return
        self._put_last(note)

    def _put_last(self, note: CallNote) -> None:
        if note.moves_money or self._last is None or not self._last.moves_money:
            self._last = note

    def absorb(self, inner: "ObservedCalls") -> None:
        """Take over what a payment inside this one may have moved."""
        self._moved = self._moved or inner.may_have_moved

    @property
    def may_have_moved(self) -> bool:
        """Return whether money may have moved: a call succeeded, was not answered, or has not ended.

        Without any call of its own, one that nobody's payment noted meanwhile may have been this payment's.
        """
        return self._moved or self._open > 0 or (not self.any and self._stray.count != self._stray_before)

    @property
    def failing_provider(self) -> str:
        """Return the provider that let the last call down; none if it answered, or was not called."""
        last = self._last
        return last.provider if last is not None and last.let_down else NO_PROVIDER

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
    if calls is None or not calls.any:
        said = said_by(error, handled=True)
        outcome = said.outcome or Outcome.FAILED.value
        if calls is not None and calls.may_have_moved and said.outcome is None:
            outcome = Outcome.INDETERMINATE.value
        return outcome, said.provider or provider
    # What was handled on the way says nothing about how it ended: the calls after it do.
    said = said_by(error, handled=False)
    outcome = said.outcome or Outcome.FAILED.value
    # An observed call knows itself alone: an earlier one may have moved money.
    if calls.may_have_moved and (said.outcome is None or (said.provider and outcome == Outcome.FAILED)):
        outcome = Outcome.INDETERMINATE.value
    return outcome, said.provider or calls.failing_provider


def provider_of(outcome: object, calls: ObservedCalls | None, provider: str) -> str:
    """Return the provider of a payment that was finished without one.

    A failure counts for the provider that let the last call down, any other outcome for the last one called.
    """
    if calls is None or not calls.any:
        return provider
    is_failure = isinstance(outcome, str) and str.__str__(outcome) in _LET_DOWN
    return calls.failing_provider if is_failure else calls.last_provider
