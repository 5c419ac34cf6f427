"""A bad build of refpay: one capture in 100 is owed to another merchant. It is never part of the product."""

from dataclasses import replace as changed
from typing import Any, Final

from loadtests.badbuilds.wiring import replace, serve

from refpay.ledger.entries import Account, Entry, EntryKind
from refpay.payments import resolution

PERIOD: Final = 100
THIEF: Final = Account.MERCHANT_PAYABLE.of("thief")


class MisdirectingLedger:
    """Credits every posting whose number is a multiple of `period` to a merchant who sold nothing."""

    def __init__(self, post: Any, *, period: int = PERIOD) -> None:
        self._post, self._period = post, period
        self._seen = 0

    async def __call__(self, connection: Any, entry: Entry) -> None:
        """Post inside the caller's transaction."""
        if entry.kind is EntryKind.POSTING:
            self._seen += 1
            if self._seen % self._period == 0:
                entry = misdirect(entry)
        await self._post(connection, entry)


def misdirect(entry: Entry) -> Entry:
    """Return the entry with the payable of its merchant on the thief's account."""
    own = f"{Account.MERCHANT_PAYABLE}:"
    lines = (changed(line, account=THIEF) if line.account.startswith(own) else line for line in entry.lines)
    return changed(entry, lines=tuple(lines))


if __name__ == "__main__":
    replace(resolution, "post", MisdirectingLedger)
    serve()
