"""A time-stamp counts only if it is of this seal, by the authority whose certificate the verifier holds."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.incidents.sabotage.authority import OPENSSL, Authority, make_authority
from tests.incidents.sabotage.bundles import Bundle
from tests.incidents.sabotage.conftest import Trust

from moneypath.errors import MoneypathError
from moneypath.incidents.evidence_files import SIGNATURE, TIMESTAMP
from moneypath.incidents.signing import Signer
from moneypath.incidents.timestamps import TimestampFailed, load_certificates, request_timestamp
from moneypath.incidents.verification import EvidenceVerdict, Link, Verification
from moneypath.workflows.evidence_sealing import SealIncomplete, SealPlan, seal

pytestmark = pytest.mark.skipif(OPENSSL is None, reason="no openssl to make time-stamps with")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return an authority that lives on loopback."""
    return make_authority(tmp_path_factory.mktemp("tsa") / "own")


async def stamp(bundle: Bundle, authority: Authority, signer: Signer | None = None) -> None:
    """Seal a bundle with a time-stamp, and with a signature if there is a signer."""
    async with authority.serving() as url:
        await seal(bundle.folder, SealPlan(signer, timestamp_url=url))


def said(found: Verification) -> str:
    """Return the one divergence of the time-stamp."""
    (divergence,) = found.divergences
    assert divergence.link is Link.TIMESTAMP
    return divergence.what


async def test_time_stamp_of_the_signature_counts(
    bundle: Bundle, signer: Signer, trust: Trust, authority: Authority
) -> None:
    """The twin of all that follows: it says when the signature existed."""
    await stamp(bundle, authority, signer)
    found = bundle.verify(signers=trust(), roots=load_certificates(authority.root), require_timestamp=True)
    assert found.verdict is EvidenceVerdict.AUTHENTICATED
    assert found.seals.timestamped_at is not None
    assert abs(found.seals.timestamped_at - datetime.now(UTC)) < timedelta(minutes=1)


async def test_time_stamp_confirms_a_signature_from_before_a_revocation(
    bundle: Bundle, signer: Signer, trust: Trust, authority: Authority
) -> None:
    """What an authority saw in time outlives the key."""
    await stamp(bundle, authority, signer)
    revoked = trust(revoked_at=datetime.now(UTC) + timedelta(seconds=5), revocation_reason="left the company")
    assert bundle.verify(signers=revoked).verdict is EvidenceVerdict.BROKEN
    found = bundle.verify(signers=revoked, roots=load_certificates(authority.root))
    assert found.verdict is EvidenceVerdict.AUTHENTICATED


async def test_time_stamp_of_an_unsigned_bundle_authenticates_nobody(
    bundle: Bundle, authority: Authority
) -> None:
    """It says when, not who."""
    await stamp(bundle, authority)
    found = bundle.verify(roots=load_certificates(authority.root))
    assert found.verdict is EvidenceVerdict.CONSISTENT
    assert found.seals.timestamped_at is not None


async def test_time_stamp_of_another_bundle(
    second_bundle: Bundle, bundle: Bundle, authority: Authority
) -> None:
    """An early time-stamp is laid beside a bundle that was made later."""
    await stamp(second_bundle, authority)
    shutil.copy(second_bundle.folder / TIMESTAMP, bundle.folder / TIMESTAMP)
    assert said(bundle.verify(roots=load_certificates(authority.root))) == (
        "the time-stamp is of something else: its imprint is not the hash of this seal"
    )


async def test_time_stamp_left_when_the_signature_is_removed(
    bundle: Bundle, signer: Signer, authority: Authority
) -> None:
    """The time-stamp is of the signature, so the downgrade shows without any certificate."""
    await stamp(bundle, authority, signer)
    (bundle.folder / SIGNATURE).unlink()
    assert said(bundle.verify()).startswith("the time-stamp is of something else")


async def test_time_stamp_by_another_authority(tmp_path: Path, bundle: Bundle, authority: Authority) -> None:
    """The forger runs an authority of their own, and sets its clock."""
    await stamp(bundle, make_authority(tmp_path / "forger"))
    assert said(bundle.verify(roots=load_certificates(authority.root))).startswith(
        "the time-stamp is not by the given authority"
    )


async def test_time_stamp_with_a_byte_changed(bundle: Bundle, authority: Authority) -> None:
    """A token that says another time is not signed any more."""
    await stamp(bundle, authority)
    file = bundle.folder / TIMESTAMP
    token = file.read_bytes()
    year = f"{datetime.now(UTC):%Y%m%d}".encode()
    assert token.count(year) >= 1
    file.write_bytes(token.replace(year, b"20200101"))
    assert said(bundle.verify(roots=load_certificates(authority.root))).startswith("the time-stamp ")


async def test_time_stamp_without_a_certificate_is_not_believed(
    bundle: Bundle, signer: Signer, trust: Trust, authority: Authority
) -> None:
    """Then it is said that nobody checked who made it."""
    await stamp(bundle, authority, signer)
    found = bundle.verify(signers=trust())
    assert found.seals.timestamped_at is None
    assert "no certificate of it was given" in found.remarks[0]


@pytest.mark.parametrize("content", [b"", b"\x30\x03\x02\x01\x02", b"no token"])
async def test_time_stamp_that_is_none(bundle: Bundle, content: bytes) -> None:
    """Another shape is one sentence."""
    (bundle.folder / TIMESTAMP).write_bytes(content)
    assert said(bundle.verify()) == "the time-stamp is not in the form of RFC 3161"


async def test_time_stamp_that_is_missing(bundle: Bundle, authority: Authority) -> None:
    """Who demands one gets none."""
    roots = load_certificates(authority.root)
    assert bundle.verify(roots=roots).verdict is EvidenceVerdict.CONSISTENT
    assert "carries no time-stamp" in said(bundle.verify(roots=roots, require_timestamp=True))


@pytest.mark.parametrize("seal_before", [b"another seal", b"this seal"])
async def test_answer_to_another_request_is_refused(authority: Authority, seal_before: bytes) -> None:
    """Somebody in between repeats an older answer: of another seal, or of an earlier time."""
    async with authority.serving() as url:
        older = await request_timestamp(url, seal_before)
    async with authority.serving(replay=older) as url:
        with pytest.raises(TimestampFailed, match="the answer is to another request"):
            await request_timestamp(url, b"this seal")


async def test_signature_after_the_time_stamp_is_refused(
    bundle: Bundle, signer: Signer, authority: Authority
) -> None:
    """The time-stamp would be of the manifest alone, and be broken from then on."""
    await stamp(bundle, authority)
    with pytest.raises(SealIncomplete, match="was time-stamped without a signature"):
        await seal(bundle.folder, SealPlan(signer))
    assert bundle.verify(roots=load_certificates(authority.root)).verdict is EvidenceVerdict.CONSISTENT


async def test_authority_that_does_not_answer_leaves_the_bundle(bundle: Bundle, authority: Authority) -> None:
    """The drill is not lost: the bundle is there, and can be sealed later."""
    async with authority.serving(replay=b"busy", status=503) as url:
        with pytest.raises(SealIncomplete, match="the bundle is written and not sealed as asked") as caught:
            await seal(bundle.folder, SealPlan(timestamp_url=url))
    assert "moneypath drill seal" in caught.value.hint
    assert bundle.verify().verdict is EvidenceVerdict.CONSISTENT


@pytest.mark.parametrize("replay", [b"no token", b"x" * 70_000])
async def test_answer_that_is_no_time_stamp_is_refused(authority: Authority, replay: bytes) -> None:
    """Neither another form nor an endless answer is stored."""
    async with authority.serving(replay=replay) as url:
        with pytest.raises(TimestampFailed):
            await request_timestamp(url, b"this seal")


def test_certificate_file_that_is_none(tmp_path: Path) -> None:
    """One sentence names the file."""
    (tmp_path / "root.pem").write_text("none")
    with pytest.raises(MoneypathError, match=r"root\.pem \(no certificate in PEM\)"):
        load_certificates(tmp_path / "root.pem")
