"""The simulated issuer: its decisions are pseudo-random and the same in every run."""

import hashlib
from typing import Final

from acquirers.operations import DeclineCode

# The usual mix of reasons. ISSUER_UNAVAILABLE is a technical failure, so only a fault produces it.
_MIX: Final = (
    (0.6, DeclineCode.INSUFFICIENT_FUNDS),
    (0.9, DeclineCode.DO_NOT_HONOR),
    (1.0, DeclineCode.SUSPECTED_FRAUD),
)


def draw(seed: int | str, reference: str) -> float:
    """Return a number in [0, 1) that depends only on seed and reference.

    It is the first 53 bits of sha256("<seed>:<reference>"), as many as a float holds exactly, so never 1.
    """
    digest = hashlib.sha256(f"{seed}:{reference}".encode()).digest()
    return float((int.from_bytes(digest[:8], "big") >> 11) / 2**53)


def issuer_decline(name: str, reference: str, rate: float) -> DeclineCode | None:
    """Return the issuer's reason to decline this reference, or None if it approves."""
    if draw(f"issuer/{name}", reference) >= rate:
        return None
    chance = draw(f"reason/{name}", reference)
    return next(code for below, code in _MIX if chance < below)
