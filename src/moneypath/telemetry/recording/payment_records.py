"""Times one payment as a `with` block, and finds out how a block ended that did not say so."""

from types import TracebackType
from typing import Self

from moneypath.telemetry.catalogue.vocabulary import NO_PROVIDER, DropReason, Outcome
from moneypath.telemetry.recording.handles import ANY_ERROR
from moneypath.telemetry.recording.observed_calls import (
    CALLS,
    ObservedCalls,
    StrayCalls,
    ending_by,
    get_calls,
    provider_of,
)
from moneypath.telemetry.recording.payment_handles import PaymentHandle


class PaymentRecord:
    """Times one payment operation: enter it, call `finish` once with the outcome, leave it.

    `Recorder.payment` creates it and sets its fields, because an `__init__` would cost one more call.
    """

    __slots__ = ("handle", "provider", "since", "started_at")

    handle: PaymentHandle
    # Where no call is observed: the one that the payment goes to.
    provider: str
    since: float | None
    # None before the block is entered and after `finish`.
    started_at: float | None

    def __enter__(self) -> Self:
        handle = self.handle
        handle.started[0] += 1.0
        clock = handle.clock
        self.started_at = clock() if self.since is None else self.since
        return self

    def finish(self, outcome: str, provider: str | None = None, fee_micro_units: float = 0) -> None:
        """Record the outcome, the provider that gave the final answer and its fee.

        A failure is the provider's that is named; `none` names us. Without a provider it is that of the calls
        that were observed in the block, else the one that `Recorder.payment` was given. The fee is in
        millionths of the reporting currency. Never raises: undeclared labels, an invalid fee and a second
        call are counted as drops.
        """
        started_at = self.started_at
        handle = self.handle
        if started_at is None:
            handle.count_drop(DropReason.FINISHED_TWICE)
            return
        # Reset before any call, because another thread could run there and call `finish` too.
        self.started_at = None
        clock = handle.clock
        try:
            seconds = clock() - started_at
        except ANY_ERROR:
            seconds = started_at
        if provider is None:
            provider = handle.declared_provider(self.provider_of(outcome))
        handle.finish(seconds, outcome, provider, fee_micro_units)

    def provider_of(self, outcome: str) -> str:  # noqa: ARG002 - what calls say depends on it
        """Return the provider of a payment that is finished without one."""
        return self.provider

    def ending_by(self, error: BaseException) -> tuple[str, str]:
        """Return the outcome and the provider of the payment if this exception ends it."""
        return ending_by(error, None, self.provider)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.started_at is None:
            return
        if error is not None:
            outcome, provider = self.ending_by(error)
            self.finish(outcome, self.handle.declared_provider(provider))
        else:
            # The block ended without an outcome. Any outcome would be a guess, so a drop is counted.
            self.started_at = None
            self.handle.drop(DropReason.UNFINISHED)


class ObservedPayment(PaymentRecord):
    """A payment in a process whose calls to providers are observed: they are noted in it."""

    __slots__ = ("_before", "_calls", "_stray")

    def __init__(self, stray: StrayCalls) -> None:
        self._stray = stray

    def __enter__(self) -> Self:
        self.observe_calls()
        return super().__enter__()

    def observe_calls(self) -> None:
        """Note the calls of the block here, until it ends."""
        self._before = get_calls()
        self._calls = ObservedCalls(self._stray)
        CALLS.set(self._calls)

    def provider_of(self, outcome: str) -> str:
        """Return the provider of the calls, else the payment's own."""
        return provider_of(outcome, self._calls, self.provider)

    def ending_by(self, error: BaseException) -> tuple[str, str]:
        """Return what the exception states, or else what the calls say."""
        return ending_by(error, self._calls, self.provider)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        calls = self._calls
        if error is None and self.started_at is not None and calls.failing_provider != NO_PROVIDER:
            # The block swallowed what the provider did, and says nothing itself.
            outcome = Outcome.INDETERMINATE if calls.may_have_moved else Outcome.FAILED
            self.finish(outcome.value)
        super().__exit__(kind, error, trace)
        calls.is_over, before = True, self._before
        if before is not None:
            before.absorb(calls)
        # Set, not reset: blocks may end in another task or order than they began in.
        if get_calls() is calls:
            CALLS.set(None if before is None or before.is_over else before)
