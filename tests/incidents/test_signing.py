"""A key that others may read does not sign, and a plug-in is not believed before its signature is checked."""

from datetime import UTC, datetime
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from moneypath.incidents import signing
from moneypath.incidents.signing import (
    KeyFileSigner,
    SigningFailed,
    decode,
    encode,
    is_genuine,
    load_key_file,
    load_plugin,
    new_key_file,
    sign,
)

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def test_key_file_signs(tmp_path: Path) -> None:
    """What is made is owner-only, and signs what its public key checks."""
    public_key = new_key_file(tmp_path / "key.pem")
    assert (tmp_path / "key.pem").stat().st_mode & 0o777 == 0o600
    signature = sign(load_key_file(tmp_path / "key.pem"), b"manifest", NOW)
    assert signature.public_key == public_key
    assert is_genuine(signature)
    assert not is_genuine(signature.model_copy(update={"manifest_sha256": "0" * 64}))


def test_signature_that_was_made_for_something_else_is_none(tmp_path: Path) -> None:
    """What is signed says what for, so a key that signs other documents too signs no evidence by accident."""
    new_key_file(tmp_path / "key.pem")
    signer = load_key_file(tmp_path / "key.pem")
    signature = sign(signer, b"manifest", NOW)
    purpose, _, document = signature.message().partition(b"\n")
    assert purpose == b"moneypath evidence signature 1"
    elsewhere = signature.model_copy(update={"signature": encode(signer.sign(document))})
    assert not is_genuine(elsewhere)


def test_key_is_never_overwritten(tmp_path: Path) -> None:
    """A second key needs a second file."""
    new_key_file(tmp_path / "key.pem")
    with pytest.raises(SigningFailed, match="File exists"):
        new_key_file(tmp_path / "key.pem")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o700, 0o644, 0o666])
def test_key_file_that_others_may_touch_is_refused(tmp_path: Path, mode: int) -> None:
    """One bit too many is enough, and the sentence names the mode."""
    new_key_file(tmp_path / "key.pem")
    (tmp_path / "key.pem").chmod(mode)
    with pytest.raises(SigningFailed, match=f"has mode {mode:04o}, 0600 is demanded"):
        load_key_file(tmp_path / "key.pem")


def test_key_file_that_its_owner_may_only_read_is_taken(tmp_path: Path) -> None:
    """Stricter is fine."""
    new_key_file(tmp_path / "key.pem")
    (tmp_path / "key.pem").chmod(0o400)
    assert load_key_file(tmp_path / "key.pem").public_key


EC = generate_private_key(SECP256R1())
NO_KEYS = {
    "empty": b"",
    "text": b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    "another kind": EC.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    "encrypted": KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")),
    "too long": b"x" * 100_000,
}


@pytest.mark.parametrize("content", NO_KEYS.values(), ids=NO_KEYS)
def test_file_without_a_usable_key_is_refused(tmp_path: Path, content: bytes) -> None:
    """One sentence, which repeats nothing of the file."""
    (tmp_path / "key.pem").write_bytes(content)
    (tmp_path / "key.pem").chmod(0o600)
    with pytest.raises(SigningFailed, match="holds no Ed25519 private key"):
        load_key_file(tmp_path / "key.pem")


def test_missing_key_file_is_named(tmp_path: Path) -> None:
    """Before the drill, not after it."""
    with pytest.raises(SigningFailed, match=r"key\.pem \(No such file"):
        load_key_file(tmp_path / "key.pem")


class Kms:
    """A signer whose key never leaves it; tests break one thing of it."""

    public_key = KEY.public_key().public_bytes_raw()

    def sign(self, message: bytes, /) -> bytes:
        """Sign as it should."""
        return KEY.sign(message)


class Down(Kms):
    """A KMS that does not answer, with a secret in its error."""

    def sign(self, message: bytes, /) -> bytes:
        """Fail."""
        raise ConnectionError("token=hunter2")


class Other(Kms):
    """A KMS that signs with another key than it names."""

    def sign(self, message: bytes, /) -> bytes:
        """Sign with another key."""
        return KeyFileSigner(Ed25519PrivateKey.generate()).sign(message)


class Text(Kms):
    """A KMS that returns text."""

    def sign(self, message: bytes, /) -> bytes:
        """Return no bytes."""
        return "signed"  # type: ignore[return-value]


class Keyless(Kms):
    """A KMS with a key of another length."""

    public_key = b"short"


def broken() -> Kms:
    """Fail to begin."""
    raise OSError("password=hunter2")


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the signers of this file as plug-ins."""
    names = {"kms": Kms, "down": Down, "other": Other, "text": Text, "keyless": Keyless, "broken": broken}
    found = EntryPoints(
        EntryPoint(name, f"{__name__}:{thing.__name__}", signing.GROUP) for name, thing in names.items()
    )
    monkeypatch.setattr(EntryPoint, "load", lambda self: names[self.name])
    monkeypatch.setattr(signing, "entry_points", lambda *, group: found.select(group=group))


@pytest.mark.usefixtures("installed")
def test_plugin_signs() -> None:
    """A KMS signs like a file."""
    signature = sign(load_plugin("kms"), b"manifest", NOW)
    assert is_genuine(signature)
    assert decode(signature.public_key) == Kms.public_key


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("down", "failed: ConnectionError"),
        ("other", "no signature by its own key"),
        ("text", "no signature by its own key"),
        ("keyless", "no Ed25519 public key"),
        ("broken", "signer broken failed: OSError"),
        ("unknown", "no signer of that name is installed: unknown"),
    ],
)
def test_plugin_that_does_not_sign_is_a_sentence(name: str, words: str) -> None:
    """Its own text is not repeated: it may hold a secret."""
    with pytest.raises(SigningFailed, match=words) as caught:
        sign(load_plugin(name), b"manifest", NOW)
    assert "hunter2" not in str(caught.value)
