"""Sign the manifest of a bundle with Ed25519, by a key file or by a signer of a plug-in (a KMS, an HSM)."""

import base64
import binascii
import json
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Protocol, runtime_checkable

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from pydantic import AwareDatetime, Field

from moneypath.errors import MoneypathError
from moneypath.incidents.evidence_files import SIGNATURE, EvidenceModel, parse_model, sha256
from moneypath.incidents.manifest import Sha256

GROUP: Final = "moneypath.signers"
"""The entry points that sign by other means than a key file."""
PUBLIC_KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
MAX_KEY_BYTES: Final = 16 * 1024
# What is signed begins with this, so that a signature made for anything else is never one of ours.
_PURPOSE: Final = b"moneypath evidence signature 1\n"


class SigningFailed(MoneypathError):
    """A key or a signer that cannot be used."""

    code = "signing_failed"


@runtime_checkable
class Signer(Protocol):
    """What signs. An entry point of `moneypath.signers` is a function without arguments that returns one."""

    @property
    def public_key(self) -> bytes:
        """The 32 bytes of the Ed25519 public key."""

    def sign(self, message: bytes, /) -> bytes:
        """Return the 64 bytes of the Ed25519 signature of `message`."""


@dataclass(frozen=True, slots=True)
class KeyFileSigner:
    """Signs with a private key from a file."""

    key: Ed25519PrivateKey

    @property
    def public_key(self) -> bytes:
        """The 32 bytes of the Ed25519 public key."""
        return self.key.public_key().public_bytes_raw()

    def sign(self, message: bytes, /) -> bytes:
        """Return the 64 bytes of the Ed25519 signature of `message`."""
        return self.key.sign(message)


class Signature(EvidenceModel):
    """The content of signature.json. `signed_at` is the signer's own claim, and is signed with the rest."""

    format: Literal[1] = 1
    algorithm: Literal["ed25519"] = "ed25519"
    public_key: Annotated[str, Field(max_length=64)]
    signed_at: AwareDatetime
    manifest_sha256: Sha256
    signature: Annotated[str, Field(max_length=128)] = ""

    def message(self) -> bytes:
        """Return the bytes that are signed: everything but the signature."""
        fields = self.model_dump(mode="json", exclude={"signature"})
        return _PURPOSE + json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()

    def to_bytes(self) -> bytes:
        """Return the content of the file."""
        return json.dumps(self.model_dump(mode="json"), indent=2, sort_keys=True).encode() + b"\n"


def new_key_file(file: Path) -> str:
    """Make a private key in a new file of mode 0600; return the public key as base64."""
    key = Ed25519PrivateKey.generate()
    content = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as writer:
            writer.write(content)
    except OSError as error:
        raise SigningFailed(
            f"key file cannot be written: {file} ({error.strerror})",
            hint="Name a new file: a key is never overwritten.",
        ) from None
    return encode(key.public_key().public_bytes_raw())


def load_key_file(file: Path) -> Signer:
    """Return the signer of a PEM file; raises SigningFailed if others than its owner may read it."""
    try:
        with file.open("rb") as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise SigningFailed(f"key file is no regular file: {file}", hint="Name a PEM file.")
            mode = stat.S_IMODE(status.st_mode)
            if mode & 0o177:
                raise SigningFailed(
                    f"key file has mode {mode:04o}, 0600 is demanded: {file}",
                    hint="Take it from others with `chmod 600`; if they may have read it, revoke the key.",
                )
            content = stream.read(MAX_KEY_BYTES)
    except OSError as error:
        raise SigningFailed(
            f"key file cannot be read: {file} ({error.strerror})",
            hint="Make one with `moneypath drill keygen`.",
        ) from None
    try:
        key = load_pem_private_key(content, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise SigningFailed(
            f"key file holds no Ed25519 private key in PEM without a password: {file}",
            hint="Make one with `moneypath drill keygen`.",
        )
    return KeyFileSigner(key)


def load_plugin(name: str) -> Signer:
    """Return the signer that the entry point `name` of `moneypath.signers` makes; raises SigningFailed."""
    found = {point.name: point for point in entry_points(group=GROUP)}
    if name not in found:
        raise SigningFailed(
            f"no signer of that name is installed: {name}",
            hint=f"Installed in {GROUP}: {', '.join(sorted(found)) or 'none'}.",
        )

    def make() -> Any:
        return found[name].load()()

    signer = _guarded(name, make)
    if not isinstance(signer, Signer):
        raise SigningFailed(
            f"signer {name} has no public_key and sign", hint="See the guide on evidence: signers by plug-in."
        )
    return signer


def sign(signer: Signer, manifest: bytes, at: datetime, *, name: str = "key file") -> Signature:
    """Sign a manifest; what a signer returns is checked before it is believed."""
    public_key = _guarded(name, lambda: signer.public_key)
    if not isinstance(public_key, bytes) or len(public_key) != PUBLIC_KEY_BYTES:
        raise SigningFailed(f"signer {name} has no Ed25519 public key of {PUBLIC_KEY_BYTES} bytes")
    unsigned = Signature(
        public_key=encode(public_key),
        signed_at=at.astimezone(UTC).replace(microsecond=0),
        manifest_sha256=sha256(manifest),
    )
    made = _guarded(name, lambda: signer.sign(unsigned.message()))
    signature = unsigned.model_copy(update={"signature": encode(made) if isinstance(made, bytes) else ""})
    if not is_genuine(signature):
        raise SigningFailed(
            f"signer {name} returned what is no signature by its own key", hint="Look at the signer's logs."
        )
    return signature


def parse_signature(content: bytes) -> Signature:
    """Return the content of signature.json; raises EvidenceInvalid that names the key."""
    return parse_model(content, Signature, SIGNATURE)


def is_genuine(signature: Signature) -> bool:
    """Tell whether the key that a signature names made it; whose key that is, is another question."""
    try:
        key = Ed25519PublicKey.from_public_bytes(decode(signature.public_key))
        key.verify(decode(signature.signature), signature.message())
    except (InvalidSignature, ValueError):
        return False
    return True


def encode(content: bytes) -> str:
    """Return bytes as base64."""
    return base64.b64encode(content).decode()


def decode(text: str) -> bytes:
    """Return the bytes of strict base64; raises ValueError."""
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError("is not base64") from None


def _guarded(name: str, call: Callable[[], Any]) -> Any:
    """Call into a signer of others, whose every failure is the same to us; its text may hold a secret."""
    try:
        return call()
    except Exception as error:  # noqa: BLE001
        raise SigningFailed(
            f"signer {name} failed: {type(error).__name__}", hint="Look at the signer's own logs."
        ) from None
