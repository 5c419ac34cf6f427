"""Check the seals of a bundle: its signature and its time-stamp."""

from datetime import datetime
from pathlib import Path

from moneypath.incidents.evidence_files import SIGNATURE, TIMESTAMP, read_bytes, sha256
from moneypath.incidents.signing import Signature, is_genuine, parse_signature
from moneypath.incidents.timestamps import read_timestamp
from moneypath.incidents.trusted_signers import TrustedSigner
from moneypath.incidents.verification import Link, Notes, References, SealResult


def check_seals(folder: Path, manifest: bytes, references: References, notes: Notes) -> SealResult:
    """Check signature and time-stamp; what is wrong or could not be checked goes into `notes`."""
    content = _read(folder / SIGNATURE, Link.SIGNATURE, notes)
    timestamped_at = _check_timestamp(folder, content or manifest, references, notes)
    if content is None:
        if references.require_signature:
            notes.diverges(Link.SIGNATURE, "the bundle carries no signature, and one is required")
        return SealResult(timestamped_at=timestamped_at)
    signature = notes.guarded(Link.SIGNATURE, lambda: parse_signature(content))
    if signature is None:
        return SealResult(timestamped_at=timestamped_at)
    signer = _check_signature(signature, manifest, timestamped_at, references, notes)
    return SealResult(signature, signer, timestamped_at)


def _check_signature(
    signature: Signature,
    manifest: bytes,
    timestamped_at: datetime | None,
    references: References,
    notes: Notes,
) -> TrustedSigner | None:
    """Return the trusted holder of the key if the signature counts."""
    if not is_genuine(signature):
        notes.diverges(Link.SIGNATURE, "the signature was not made by the key that it names")
        return None
    if signature.manifest_sha256 != sha256(manifest):
        notes.diverges(Link.SIGNATURE, "the signature is of another manifest")
        return None
    if references.signers is None:
        notes.remarks.append(
            f"signed by key {signature.public_key}: without trusted signers nobody vouches for it"
        )
        return None
    signer = references.signers.holder_of(signature.public_key)
    if signer is None:
        notes.diverges(Link.SIGNATURE, f"signed by a key of no trusted signer: {signature.public_key}")
        return None
    objection = signer.objection(signature.signed_at, timestamped_at)
    if objection:
        notes.diverges(Link.SIGNATURE, f"the bundle {objection}")
        return None
    return signer


def _check_timestamp(folder: Path, message: bytes, references: References, notes: Notes) -> datetime | None:
    """Return when an authority saw `message`, if a token says so that can be trusted."""
    token = _read(folder / TIMESTAMP, Link.TIMESTAMP, notes)
    if token is None:
        if references.require_timestamp:
            notes.diverges(Link.TIMESTAMP, "the bundle carries no time-stamp, and one is required")
        return None
    roots = references.roots
    at = notes.guarded(Link.TIMESTAMP, lambda: read_timestamp(token, message, roots))
    if at is not None and not roots:
        notes.remarks.append("the time-stamp's authority was not checked: no certificate of it was given")
        return None
    return at


def _read(file: Path, link: Link, notes: Notes) -> bytes | None:
    if not file.is_symlink() and not file.exists():
        return None
    return notes.guarded(link, lambda: read_bytes(file))
