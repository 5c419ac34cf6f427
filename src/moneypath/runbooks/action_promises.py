"""What the operator actions of this version promise; a target's file says how each is run."""

from collections.abc import Mapping
from typing import Final

from moneypath.runbooks.promises import Promise, Witness

PROVIDER_DRAIN: Final = "provider.drain"
PROVIDER_RESTORE: Final = "provider.restore"
DEAD_LETTERS_REPLAY: Final = "dead-letters.replay"
# The argument is a card range, or `busiest`: no metric may name the range, so a runbook cannot.
RISK_BLOCK: Final = "risk.block"
RISK_UNBLOCK: Final = "risk.unblock"
DUPLICATES_REFUND: Final = "duplicates.refund"
SETTLEMENT_REFETCH: Final = "settlement.refetch"
SUSPENSE_RELEASE: Final = "suspense.release"
# Fewer payments than this while a provider is drained are no evidence that the others took them.
_LEAST_ELSEWHERE: Final = 20
_LEAST_RESTORED: Final = 5


ACTION_PROMISES: Final[Mapping[str, Promise]] = {
    PROVIDER_DRAIN: Promise(
        "no new payment reaches {}",
        Witness.PROVIDER_BOOK,
        most=0,
        until=PROVIDER_RESTORE,
        evidence="payments at the other providers",
        least_evidence=_LEAST_ELSEWHERE,
    ),
    PROVIDER_RESTORE: Promise(
        "new payments reach {} again",
        Witness.PROVIDER_BOOK,
        least=_LEAST_RESTORED,
        until=PROVIDER_DRAIN,
    ),
    DEAD_LETTERS_REPLAY: Promise("no dead letter of {} is left", Witness.METRICS, most=0),
    RISK_BLOCK: Promise(
        "no new payment of the blocked range reaches a provider",
        Witness.PROVIDER_BOOK,
        most=0,
        until=RISK_UNBLOCK,
    ),
    RISK_UNBLOCK: Promise(
        "a payment of the unblocked range reaches a provider again",
        Witness.PROVIDER_BOOK,
        least=1,
        until=RISK_BLOCK,
    ),
    DUPLICATES_REFUND: Promise(
        "nothing that {} charged twice is still to be given back", Witness.PROVIDER_BOOK, most=0
    ),
    SETTLEMENT_REFETCH: Promise(
        "reports of {} that were in doubt are read again at once", Witness.PROVIDER_BOOK, least=1
    ),
    SUSPENSE_RELEASE: Promise("what {} had in suspense is released once", Witness.LEDGER, least=1, most=1),
}
