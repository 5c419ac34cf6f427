"""Seeded bugs in the postings to the ledger."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from proofs.simulation.seeded_bugs import Patch, bug, nothing

from refpay.ids import mint_id
from refpay.ledger import entries
from refpay.ledger import repository as ledger_repository
from refpay.payments import authorization_batches, resolution
from refpay.payments.model import OperationKind


@bug
def one_leg() -> list[Patch]:
    """An entry is posted with only one of its lines."""
    post = ledger_repository.post

    async def halved(connection: Any, *posted: Any) -> None:
        await post(connection, *(replace(one, lines=one.lines[:1]) for one in posted))

    return [(resolution, "post", halved), (authorization_batches, "post", halved)]


@bug
def no_entry() -> list[Patch]:
    """Money moves and nothing is posted."""
    return [(resolution, "post", nothing), (authorization_batches, "post", nothing)]


@bug
def float_amounts() -> list[Patch]:
    """Amounts are converted to a float on their way to the ledger."""
    post = ledger_repository.post

    most = 2**63 - 1

    def through_float(line: Any) -> Any:
        return replace(line, amount_minor=max(-most, min(most, int(float(line.amount_minor)))))

    async def rounded(connection: Any, *posted: Any) -> None:
        await post(connection, *(replace(one, lines=tuple(map(through_float, one.lines))) for one in posted))

    return [(resolution, "post", rounded), (authorization_batches, "post", rounded)]


@bug
def refund_adds() -> list[Patch]:
    """A refund is posted with the sign of a capture."""

    def added(movement: Any, now: Any) -> Any:
        return replace(entries.capture_entry(movement, now), kind=entries.EntryKind.REVERSAL)

    return [(resolution, "_ENTRIES", {**resolution._ENTRIES, OperationKind.REFUND: added})]


@bug
def one_currency() -> list[Patch]:
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

    return [(resolution, "post", in_euros), (authorization_batches, "post", in_euros)]


def _forged(kind: entries.EntryKind) -> Callable[[], list[Patch]]:
    """Return the bug that books an entry of a kind beside each one that has its cause."""

    def forge() -> list[Patch]:
        post = ledger_repository.post

        async def posted_beside(connection: Any, *posted: Any) -> None:
            at = posted[0].posted_at
            payment_id = posted[0].payment_id or mint_id(at)
            forged = replace(
                posted[0], id=mint_id(at), kind=kind, operation_id=mint_id(at), payment_id=payment_id
            )
            await post(connection, *posted, forged)

        return [(resolution, "post", posted_beside), (authorization_batches, "post", posted_beside)]

    forge.__name__ = f"forged_{kind}"
    forge.__doc__ = f"A {kind} is booked that nothing stands behind."
    return forge


for _kind in entries.EntryKind:
    bug(_forged(_kind))
