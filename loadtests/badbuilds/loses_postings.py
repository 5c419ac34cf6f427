"""A bad build of refpay: every 10,000th posting is not written, though its capture is acknowledged.

The first loss is drawn from a seed, because a real defect can be anywhere in its cycle. It is never part
of the product.
"""

from random import Random
from typing import Any, Final

from loadtests.badbuilds.wiring import replace, serve

from refpay.ledger.entries import Entry, EntryKind
from refpay.payments import resolution

PERIOD: Final = 10_000
SEED: Final = 3
FIRST_LOSS: Final = Random(SEED).randint(1, PERIOD)  # noqa: S311 - a phase, not a secret


class LosingLedger:
    """Posts all but one in `period` postings, starting with the posting numbered `first_loss`."""

    def __init__(self, post: Any, *, period: int = PERIOD, first_loss: int = FIRST_LOSS) -> None:
        self._post = post
        self._period, self._first_loss = period, first_loss
        self._seen = 0

    async def __call__(self, connection: Any, entry: Entry) -> None:
        """Post inside the caller's transaction, or skip it."""
        if entry.kind is EntryKind.POSTING:
            self._seen += 1
            if self._seen >= self._first_loss and (self._seen - self._first_loss) % self._period == 0:
                return
        await self._post(connection, entry)


if __name__ == "__main__":
    replace(resolution, "post", LosingLedger)
    serve()
