"""The commands on evidence: keygen, seal, verify."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.incidents.sabotage.bundles import Bundle

from moneypath.cli.main import moneypath
from moneypath.incidents.evidence_files import SCORECARD, SIGNATURE


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """Return the evidence of a drill that scored 1.00."""
    return Bundle(tmp_path, "run-1")


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """Make a key and its file of trusted signers."""
    made = drill("keygen", str(tmp_path / "key.pem"), "--id", "audit-2026", "--owner", "Internal audit")
    assert made.exit_code == 0
    (tmp_path / "signers.yaml").write_text(made.output)
    return tmp_path / "key.pem"


def drill(*arguments: str, env: dict[str, str] | None = None) -> Result:
    """Run `moneypath drill`."""
    return CliRunner().invoke(moneypath, ["drill", *arguments], env=env)


def lines(result: Result) -> str:
    """Return the output without line breaks."""
    return " ".join(result.output.split())


def test_unsigned_evidence_is_not_called_more_than_consistent(bundle: Bundle) -> None:
    """The words say what it is worth."""
    result = drill("verify", str(bundle.folder))
    assert result.exit_code == 0
    assert "The evidence is consistent, not authenticated." in lines(result)
    assert "It does not prove: who made it." in lines(result)
    assert "intact" not in result.output


def test_signed_evidence_says_who_signed(bundle: Bundle, key: Path) -> None:
    """By name, and with what that does not prove."""
    sealed = drill("seal", str(bundle.folder), env={"MONEYPATH_SIGNING_KEY": str(key)})
    assert sealed.exit_code == 0, sealed.output
    signers = str(key.parent / "signers.yaml")
    result = drill("verify", str(bundle.folder), "--trusted-signers", signers, "--require-signature")
    assert result.exit_code == 0
    assert "The evidence is authenticated." in lines(result)
    assert "audit-2026 (Internal audit) signed exactly these files" in lines(result)
    assert "that time is the signer's own claim" in lines(result)


def test_unsigned_evidence_fails_where_a_signature_is_required(bundle: Bundle, key: Path) -> None:
    """The exit code is what a pipeline sees."""
    signers = str(key.parent / "signers.yaml")
    result = drill("verify", str(bundle.folder), "--trusted-signers", signers, "--require-signature")
    assert result.exit_code == 1
    assert "first divergence: signature: the bundle carries no signature" in lines(result)


def test_broken_evidence_names_the_first_divergence(bundle: Bundle) -> None:
    """And proves nothing."""
    bundle.text(SCORECARD, lambda text: text.replace("true", "false"))
    result = drill("verify", str(bundle.folder))
    assert result.exit_code == 1
    assert "The evidence is broken. - first divergence: files: scorecard.json is not the file" in lines(
        result
    )
    assert "It proves" not in result.output


def test_machines_read_the_same(bundle: Bundle, key: Path) -> None:
    """One document, broken or not."""
    document = json.loads(drill("verify", str(bundle.folder), "--json").output)
    assert (document["verdict"], document["signed_by"]) == ("consistent, not authenticated", None)
    assert document["recorded_scorecard"]["score"] == 1.0
    assert drill("seal", str(bundle.folder), "--signing-key", str(key)).exit_code == 0
    signers = str(key.parent / "signers.yaml")
    document = json.loads(drill("verify", str(bundle.folder), "--json", "--trusted-signers", signers).output)
    assert (document["verdict"], document["signed_by"]["id"]) == ("authenticated", "audit-2026")
    (bundle.folder / "more").touch()
    broken = drill("verify", str(bundle.folder), "--json")
    document = json.loads(broken.output)
    assert (broken.exit_code, document["verdict"], document["proves"]) == (1, "broken", [])
    assert document["divergences"] == [{"link": "files", "what": "more is not in the manifest: it was added"}]


def test_what_is_broken_is_not_sealed(bundle: Bundle, key: Path) -> None:
    """A seal vouches for what it is on."""
    (bundle.folder / "more").touch()
    result = drill("seal", str(bundle.folder), "--signing-key", str(key))
    assert "nothing was sealed: files: more is not in the manifest" in str(result.exception)
    assert not (bundle.folder / SIGNATURE).exists()


def test_bundle_of_an_earlier_time_is_not_sealed(key: Path, tmp_path: Path) -> None:
    """A seal vouches for every file, and its manifest names two."""
    earlier = Path(__file__).parents[1] / "workflows" / "bundles" / "listed-metrics-passed"
    shutil.copytree(earlier, tmp_path / "drill")
    result = drill("seal", str(tmp_path / "drill"), "--signing-key", str(key))
    assert "nothing was sealed: the bundle is not of format 1" in str(result.exception)
    assert not (tmp_path / "drill" / SIGNATURE).exists()


def test_what_is_signed_is_not_signed_again(bundle: Bundle, key: Path) -> None:
    """A second signature would replace the first."""
    assert drill("seal", str(bundle.folder), "--signing-key", str(key)).exit_code == 0
    before = (bundle.folder / SIGNATURE).read_bytes()
    result = drill("seal", str(bundle.folder), "--signing-key", str(key))
    assert "signature.json cannot be written (File exists)" in str(result.exception)
    assert (bundle.folder / SIGNATURE).read_bytes() == before


def test_anchor_of_a_bundle_that_was_signed_later(bundle: Bundle, key: Path, tmp_path: Path) -> None:
    """Signed by one, anchored by another, verified by a third."""
    anchor = str(tmp_path / "anchors.jsonl")
    for options in (("--signing-key", str(key)), ("--anchor", anchor)):
        assert drill("seal", str(bundle.folder), *options).exit_code == 0
    result = drill("verify", str(bundle.folder), "--anchor", anchor)
    assert "the anchor file holds this bundle, and no other of its run" in lines(result)


MISUSES: list[tuple[Sequence[str], str]] = [
    (("seal", "{bundle}"), "nothing to do"),
    (("seal", "{bundle}", "--signing-key", "{key}", "--signer", "kms"), "exclude each other"),
    (("seal", "{bundle}", "--timestamp-url", "ftp://tsa"), "allowed: an http:// or https:// address"),
    (("verify", "{bundle}", "--require-signature"), "needs --trusted-signers"),
    (("verify", "{bundle}", "--require-timestamp"), "needs --tsa-certificate"),
    (("seal", "{bundle}", "--signing-key", "{bundle}/none.pem"), "key file cannot be read"),
    (("verify", "{bundle}", "--anchor", "{bundle}/none"), "anchor file is no regular file"),
    (("verify", "{bundle}", "--pager-record", "{bundle}/none"), "pager's file cannot be read"),
    (("verify", "{bundle}", "--pager-record", "{bundle}/scorecard.json"), "not as the pager writes it"),
]


@pytest.mark.parametrize(("arguments", "words"), MISUSES, ids=[case[1] for case in MISUSES])
def test_misuse_is_a_sentence(bundle: Bundle, key: Path, arguments: Sequence[str], words: str) -> None:
    """It says what is allowed."""
    filled = [text.format(bundle=bundle.folder, key=key) for text in arguments]
    result = drill(*filled)
    assert result.exit_code != 0
    assert words in f"{lines(result)} {result.exception}"
