"""Random orders. The seed decides content and amounts; a nonce keeps the references of two runs apart."""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

# Minor units; the exponents are 2, 2, 0 and 3.
_AMOUNTS = {"EUR": (100, 50_000), "USD": (100, 50_000), "JPY": (100, 70_000), "KWD": (500, 150_000)}
_CURRENCY_WEIGHTS = {"EUR": 5, "USD": 3, "JPY": 1, "KWD": 1}
_PARTIAL_RATIO = 0.1


@dataclass(frozen=True, slots=True)
class Order:
    """One checkout; amounts in minor units, `refund_minor` is None if nothing is refunded."""

    reference: str
    card_token: str
    currency: str
    amount_minor: int
    capture_minor: int
    refund_minor: int | None
    resends: bool


class Orders:
    """The endless orders of one user. The same seed and user give the same orders."""

    def __init__(
        self, *, seed: str, user: int, nonce: str, card_range_weights: Mapping[str, int],
        refund_ratio: float, resend_ratio: float,
    ) -> None:  # fmt: skip
        self._random = Random(f"{seed}/{user}")  # noqa: S311 - a shopping list, not a secret
        self._prefix = f"chk-{nonce}-{user}"
        self._card_range_weights = card_range_weights
        self._refund_ratio = refund_ratio
        self._resend_ratio = resend_ratio
        self._count = 0

    def next_order(self) -> Order:
        """Draw the next order. Every order takes the same number of draws, so that later orders do not
        shift.
        """
        self._count += 1
        draw = self._random
        currency = _choose(draw, _CURRENCY_WEIGHTS)
        amount_minor = draw.randint(*_AMOUNTS[currency])
        card_range = _choose(draw, self._card_range_weights)
        token = f"tok_{card_range}_{draw.getrandbits(64):016x}"
        part, partial = draw.randint(1, amount_minor), draw.random() < _PARTIAL_RATIO
        capture_minor = part if partial else amount_minor
        refund, whole = draw.random() < self._refund_ratio, draw.random() < 0.5
        refund_minor = capture_minor if whole else (capture_minor + 1) // 2
        return Order(
            reference=f"{self._prefix}-{self._count}",
            card_token=token,
            currency=currency,
            amount_minor=amount_minor,
            capture_minor=capture_minor,
            refund_minor=refund_minor if refund else None,
            resends=draw.random() < self._resend_ratio,
        )

    def first_pause(self, pacing_seconds: float) -> float:
        """Draw how long this user waits before its first order, so that users are out of step."""
        return self._random.uniform(0, pacing_seconds)


def _choose(draw: Random, weights: Mapping[str, int]) -> str:
    return draw.choices(tuple(weights), tuple(weights.values()))[0]
