"""The command that rotates the signing key of a running service."""

import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from refpay.errors import StartRefused
from refpay.identity.errors import CredentialRefused
from refpay.identity.token_keys import TokenKeys, rotate_keys

if TYPE_CHECKING:
    from tests.refpay.identity.conftest import IdentitySetup


def opens(identity: "IdentitySetup", header: str) -> bool:
    """Return whether a token is accepted a moment later."""
    identity.clock.advance(1)
    try:
        return identity.principals.authenticate(header).name == "shop"
    except CredentialRefused:
        return False


def test_a_rotation_keeps_the_tokens_that_are_out(identity: "IdentitySetup") -> None:
    """The last key verifies and cannot sign; the one before it is gone."""
    file = identity.folder / "token_keys.json"
    first = identity.issue()
    new = rotate_keys(file)
    assert opens(identity, first)
    assert TokenKeys.load(file).signing_kid == new
    assert set(TokenKeys.load(file).public) == {"k1", new}
    assert '"private"' not in file.read_text().split('"k1"')[1]
    second = identity.issue()
    newest = rotate_keys(file)
    assert (opens(identity, second), opens(identity, first)) == (True, False)
    assert set(TokenKeys.load(file).public) == {new, newest}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(identity.folder.glob(".*")) == []


def test_at_once_every_token_so_far_is_refused(identity: "IdentitySetup") -> None:
    """For a key that somebody else may have."""
    header = identity.issue()
    rotate_keys(identity.folder / "token_keys.json", at_once=True)
    assert not opens(identity, header)
    assert opens(identity, identity.issue())


def test_a_broken_file_is_left_as_it_is(identity: "IdentitySetup") -> None:
    """Nothing is overwritten that may still be mended."""
    identity.put("token_keys.json", "{")
    with pytest.raises(StartRefused, match="Invalid JSON"):
        rotate_keys(identity.folder / "token_keys.json")
    assert (identity.folder / "token_keys.json").read_text() == "{"


def test_the_command_says_nothing_secret(identity: "IdentitySetup") -> None:
    """Exit 0 without a word; without the folder 2 and one sentence."""
    command = (sys.executable, "-m", "refpay.identity", "rotate")
    path = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(
        command, env={**path, "REFPAY_SECRETS_FOLDER": str(identity.folder)}, capture_output=True, check=True
    )
    assert (done.stdout, done.stderr) == (b"", b"")
    assert "k1" in TokenKeys.load(identity.folder / "token_keys.json").public
    refused = subprocess.run(command, env=path, capture_output=True, check=False)
    assert (refused.returncode, refused.stderr) == (2, b"refpay: REFPAY_SECRETS_FOLDER is not set.\n")
