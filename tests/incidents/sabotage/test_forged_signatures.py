"""A signature counts only if it is of this manifest, by a key that a trusted signer held at the time."""

import asyncio
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.incidents.sabotage.bundles import Bundle
from tests.incidents.sabotage.conftest import Trust

from moneypath.incidents.evidence_files import MANIFEST, SIGNATURE
from moneypath.incidents.signing import Signer, encode, load_key_file, new_key_file, sign
from moneypath.incidents.trusted_signers import TrustedSigner
from moneypath.incidents.verification import EvidenceVerdict, Link, Verification
from moneypath.workflows.evidence_sealing import SealPlan, seal

NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def signed(bundle: Bundle, signer: Signer) -> Bundle:
    """Return a signed bundle."""
    asyncio.run(seal(bundle.folder, SealPlan(signer)))
    return bundle


def said(found: Verification) -> str:
    """Return the one divergence of the signature."""
    (divergence,) = found.divergences
    assert found.verdict is EvidenceVerdict.BROKEN
    assert divergence.link is Link.SIGNATURE
    return divergence.what


def signed_at(bundle: Bundle, signer: Signer, at: datetime) -> None:
    """Sign as if it were another time: the time is the signer's own claim."""
    manifest = (bundle.folder / MANIFEST).read_bytes()
    (bundle.folder / SIGNATURE).write_bytes(sign(signer, manifest, at).to_bytes())


def test_signature_of_a_trusted_signer_counts(signed: Bundle, trust: Trust) -> None:
    """The twin of all that follows: it says who signed."""
    found = signed.verify(signers=trust(), require_signature=True)
    assert found.verdict is EvidenceVerdict.AUTHENTICATED
    assert found.seals.signer is not None
    assert found.seals.signer.id == "audit-2026"


def test_signature_without_trusted_signers_authenticates_nobody(signed: Bundle) -> None:
    """Anyone can make a key."""
    found = signed.verify()
    assert found.verdict is EvidenceVerdict.CONSISTENT
    assert "nobody vouches for it" in found.remarks[0]


def test_signature_by_an_unknown_key(tmp_path: Path, bundle: Bundle, trust: Trust) -> None:
    """A key that the forger made is not among the trusted ones."""
    new_key_file(tmp_path / "forger.pem")
    forger = load_key_file(tmp_path / "forger.pem")
    asyncio.run(seal(bundle.folder, SealPlan(forger)))
    assert said(bundle.verify(signers=trust())) == (
        f"signed by a key of no trusted signer: {encode(forger.public_key)}"
    )


def test_signature_that_names_a_key_which_did_not_make_it(
    tmp_path: Path, bundle: Bundle, signer: Signer, trust: Trust
) -> None:
    """The forger signs, and writes the auditor's public key into the file."""
    new_key_file(tmp_path / "forger.pem")
    forger = load_key_file(tmp_path / "forger.pem")
    asyncio.run(seal(bundle.folder, SealPlan(forger)))
    bundle.text(SIGNATURE, lambda text: text.replace(encode(forger.public_key), encode(signer.public_key)))
    assert said(bundle.verify(signers=trust())) == "the signature was not made by the key that it names"


def test_signature_with_another_time(signed: Bundle, trust: Trust) -> None:
    """The claimed time is signed too."""
    year = f"{NOW.year}-"
    signed.text(
        SIGNATURE, lambda text: text.replace(f'"signed_at": "{year}', f'"signed_at": "{NOW.year - 1}-')
    )
    assert said(signed.verify(signers=trust())) == "the signature was not made by the key that it names"


def test_signature_moved_from_another_bundle(tmp_path: Path, signed: Bundle, trust: Trust) -> None:
    """A signature of the drill that went well is laid beside the one that did not."""
    other = Bundle(tmp_path, "run-2", story={"harm_ends": False})
    shutil.copy(signed.folder / SIGNATURE, other.folder / SIGNATURE)
    assert said(other.verify(signers=trust())) == "the signature is of another manifest"


def test_signature_by_an_expired_key(bundle: Bundle, signer: Signer, trust: Trust) -> None:
    """Signed after the key had run out."""
    signed_at(bundle, signer, NOW)
    what = said(bundle.verify(signers=trust(valid_from=NOW - 9 * HOUR, valid_until=NOW - HOUR)))
    assert "audit-2026 expired at" in what


def test_signature_from_before_the_key_was_valid(bundle: Bundle, signer: Signer, trust: Trust) -> None:
    """Signed before anybody was told to trust the key."""
    signed_at(bundle, signer, NOW - 2 * HOUR)
    assert "is valid from" in said(bundle.verify(signers=trust(valid_from=NOW - HOUR)))


def test_signature_by_a_key_that_ran_out_since_counts(bundle: Bundle, signer: Signer, trust: Trust) -> None:
    """Validity is judged at the time of signing: rotation spoils no old evidence."""
    signed_at(bundle, signer, NOW - 2 * HOUR)
    found = bundle.verify(signers=trust(valid_from=NOW - 9 * HOUR, valid_until=NOW - HOUR))
    assert found.verdict is EvidenceVerdict.AUTHENTICATED


def test_signature_by_a_revoked_key(signed: Bundle, trust: Trust) -> None:
    """Signed after the revocation."""
    trusted = trust(revoked_at=NOW - HOUR, revocation_reason="laptop stolen")
    what = said(signed.verify(signers=trusted))
    assert what.startswith("the bundle was signed at")
    assert "audit-2026 was revoked at" in what
    assert "laptop stolen" in what


def test_signature_by_a_revoked_key_dated_back(bundle: Bundle, signer: Signer, trust: Trust) -> None:
    """A thief writes any date, and only a time-stamp could confirm it."""
    signed_at(bundle, signer, NOW - 2 * HOUR)
    trusted = trust(revoked_at=NOW - HOUR, revocation_reason="laptop stolen")
    assert "no time-stamp confirms that" in said(bundle.verify(signers=trusted))


@pytest.mark.parametrize(
    ("confirmed", "words"),
    [
        (-1.5, ""),
        (-1.0, "was time-stamped at"),
        (0.0, "was time-stamped at"),
        (-3.0, "after its time-stamp of"),
    ],
)
def test_revoked_key_is_judged_by_what_an_authority_saw(
    signer: Signer, trust: Trust, confirmed: float, words: str
) -> None:
    """Seen before the revocation it counts; seen after it, or before it was signed, it does not."""
    holder: TrustedSigner | None = trust(revoked_at=NOW - HOUR, revocation_reason="stolen").holder_of(
        encode(signer.public_key)
    )
    assert holder is not None
    objection = holder.objection(NOW - 2 * HOUR, NOW + confirmed * HOUR)
    assert words in objection
    assert bool(objection) is bool(words)


def test_downgrade_by_removing_the_signature(signed: Bundle, trust: Trust) -> None:
    """What is left is an unsigned bundle, and no more is said of it; who demands a signature gets none."""
    (signed.folder / SIGNATURE).unlink()
    assert signed.verify(signers=trust()).verdict is EvidenceVerdict.CONSISTENT
    assert said(signed.verify(signers=trust(), require_signature=True)) == (
        "the bundle carries no signature, and one is required"
    )


def test_downgrade_by_removing_the_signature_of_an_anchored_bundle(tmp_path: Path, signer: Signer) -> None:
    """The anchor file remembers that it was signed."""
    anchor = tmp_path / "anchors.jsonl"
    bundle = Bundle(tmp_path, "run-1", SealPlan(signer, anchor_file=anchor))
    assert bundle.verify(anchor_file=anchor).anchored
    (bundle.folder / SIGNATURE).unlink()
    (divergence,) = bundle.verify(anchor_file=anchor).divergences
    assert divergence.what == (
        "line 2 of the anchor file names a signed bundle of run run-1; this one carries no signature"
    )


def test_signature_that_is_no_signature(signed: Bundle, trust: Trust) -> None:
    """Another shape is one sentence that names file and key."""
    signed.text(SIGNATURE, lambda text: text.replace('"ed25519"', '"none"'))
    assert said(signed.verify(signers=trust())).startswith("signature.json: algorithm:")
