"""A bad build of refpay: its recorder drops three of ten failed payments.

The customers are told, the ledger is whole, and every ratio of errors reads a third too low. It is never
part of the product.
"""

from contextlib import AbstractContextManager
from random import Random
from types import TracebackType
from typing import Any, Final, Self

from loadtests.badbuilds.wiring import replace, serve

from refpay.app import services as root
from refpay.measures import PaymentHandle, ServiceMetrics

DROPPED: Final = 0.3
FAILED: Final = "failed"


class DroppingHandle:
    """A payment that is recorded when it ends, and forgotten when `drop` says so of a failed one."""

    def __init__(self, payment: AbstractContextManager[PaymentHandle], drop: "Draw") -> None:
        self._payment, self._drop = payment, drop
        self._finished = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._finished:
            self._payment.__enter__()
            self._payment.__exit__(kind, error, trace)

    def finish(self, outcome: str, provider: str = "none", fee_micro_units: float = 0) -> None:
        """Record the end, or drop it."""
        self._finished = True
        if outcome == FAILED and self._drop():
            return
        with self._payment as handle:
            handle.finish(outcome, provider, fee_micro_units)


class Draw:
    """Says yes to a share of its calls, the same ones in every run."""

    def __init__(self, share: float = DROPPED) -> None:
        self._share, self._random = share, Random(1)  # noqa: S311 - a share, not a secret

    def __call__(self) -> bool:
        """Draw once."""
        return self._random.random() < self._share


class DroppingMetrics(ServiceMetrics):
    """Counts everything but some failed payments."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._drop = Draw()

    def payment(self, operation: str, traffic: str, *, since: float) -> AbstractContextManager[PaymentHandle]:
        """Time one payment operation, and perhaps forget it."""
        return DroppingHandle(super().payment(operation, traffic, since=since), self._drop)

    def count_payment(
        self, operation: str, traffic: str, outcome: str, provider: str = "none", *, since: float
    ) -> None:
        """Count an operation that ended before it began, and perhaps not."""
        if outcome != FAILED or not self._drop():
            super().count_payment(operation, traffic, outcome, provider, since=since)


if __name__ == "__main__":
    replace(root, "ServiceMetrics", lambda _: DroppingMetrics)
    serve()
