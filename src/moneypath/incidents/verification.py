"""The result of verifying evidence: which links are broken, who signed, what could not be checked."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from cryptography.x509 import Certificate

from moneypath.errors import MoneypathError
from moneypath.incidents.signing import Signature
from moneypath.incidents.trusted_signers import TrustedSigner, TrustedSigners

R = TypeVar("R")


class Link(StrEnum):
    """What may be broken in a bundle, in the order in which it is looked at."""

    MANIFEST = "manifest"
    EVENT_LOG = "event log"
    FILES = "files"
    SCORE = "score"
    SIGNATURE = "signature"
    TIMESTAMP = "time-stamp"
    ANCHOR = "anchor"
    PAGER = "pager"


class EvidenceVerdict(StrEnum):
    """What can be said of a bundle."""

    AUTHENTICATED = "authenticated"
    CONSISTENT = "consistent, not authenticated"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Divergence:
    """One thing that is not as it should be."""

    link: Link
    what: str


@dataclass(frozen=True, slots=True)
class References:
    """What a bundle is held against; it comes from elsewhere than the bundle.

    A time-stamp has to chain to one of `roots`. `pager_file` is the pager's own record.
    """

    signers: TrustedSigners | None = None
    roots: tuple[Certificate, ...] = ()
    anchor_file: Path | None = None
    pager_file: Path | None = None
    require_signature: bool = False
    require_timestamp: bool = False


@dataclass(slots=True)
class Notes:
    """What a verification under way has found; the first divergence is where to look."""

    divergences: list[Divergence] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def diverges(self, link: Link, what: str) -> None:
        """Note a divergence."""
        self.divergences.append(Divergence(link, what))

    def guarded(self, link: Link, call: Callable[[], R]) -> R | None:
        """Return what `call` returns; an expected failure is noted as a divergence, and gives None."""
        try:
            return call()
        except MoneypathError as error:
            self.diverges(link, error.what)
            return None


@dataclass(frozen=True, slots=True)
class SealResult:
    """What signature and time-stamp are; `signer` is set if the signature counts.

    `signature.signed_at` is the signer's claim, `timestamped_at` is an authority's.
    """

    signature: Signature | None = None
    signer: TrustedSigner | None = None
    timestamped_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found. `scorecard` is the recorded one, None if it cannot be read.

    `remarks` say what could not be checked. `anchored` tells whether the anchor file holds this bundle,
    `pager_covers` the number of the last event before which the pager's record vouches for the log.
    """

    format: int
    run: str
    divergences: tuple[Divergence, ...]
    remarks: tuple[str, ...]
    scorecard: Mapping[str, Any] | None
    scored_again: bool
    seals: SealResult
    anchored: bool
    pager_covers: int

    @property
    def verdict(self) -> EvidenceVerdict:
        """The verdict."""
        if self.divergences:
            return EvidenceVerdict.BROKEN
        return EvidenceVerdict.CONSISTENT if self.seals.signer is None else EvidenceVerdict.AUTHENTICATED
