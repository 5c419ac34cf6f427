"""Bugs on purpose in what is posted to the ledger."""

from dataclasses import replace
from typing import Any

from refpay.ledger import entries
from refpay.ledger import repository as ledger_repository
from refpay.payments import quick, settling
from refpay.payments.model import OperationKind
from simulation.planting import Swap, bug, nothing


@bug
def one_leg() -> list[Swap]:
    """An entry is posted with one of its lines."""
    post = ledger_repository.post

    async def halved(connection: Any, *posted: Any) -> None:
        await post(connection, *(replace(one, lines=one.lines[:1]) for one in posted))

    return [(settling, "post", halved), (quick, "post", halved)]


@bug
def no_entry() -> list[Swap]:
    """Money moves and nothing is posted."""
    return [(settling, "post", nothing), (quick, "post", nothing)]


@bug
def float_amounts() -> list[Swap]:
    """Amounts go through a float on their way to the ledger."""
    post = ledger_repository.post

    most = 2**63 - 1

    def through_float(line: Any) -> Any:
        return replace(line, amount_minor=max(-most, min(most, int(float(line.amount_minor)))))

    async def rounded(connection: Any, *posted: Any) -> None:
        await post(connection, *(replace(one, lines=tuple(map(through_float, one.lines))) for one in posted))

    return [(settling, "post", rounded), (quick, "post", rounded)]


@bug
def refund_adds() -> list[Swap]:
    """A refund is posted with the sign of a capture."""

    def added(movement: Any, now: Any) -> Any:
        return replace(entries.capture_entry(movement, now), kind=entries.EntryKind.REVERSAL)

    return [(settling, "_ENTRIES", {**settling._ENTRIES, OperationKind.REFUND: added})]


@bug
def one_currency() -> list[Swap]:
    """Everything is posted in euros."""
    post = ledger_repository.post

    async def in_euros(connection: Any, *posted: Any) -> None:
        await post(
            connection,
            *(
                replace(one, lines=tuple(replace(line, currency="EUR") for line in one.lines))
                for one in posted
            ),
        )

    return [(settling, "post", in_euros), (quick, "post", in_euros)]
