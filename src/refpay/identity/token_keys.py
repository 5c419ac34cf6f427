"""Manage the keys of access tokens: one signs, several verify, so that keys can be rotated under load."""

import argparse
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from jwt.algorithms import OKPAlgorithm
from jwt.utils import base64url_decode, base64url_encode
from pydantic import Field

from refpay.errors import StartRefused
from refpay.identity.secret_files import SecretFile

KEYS_FILE: Final = "token_keys.json"
ALGORITHM: Final = "EdDSA"
_ROTATES: Final = (
    "Rotates the key of access tokens while the service runs: `python -m refpay.identity rotate`."
)
_Kid = Annotated[str, Field(pattern="^[A-Za-z0-9_-]{1,64}$")]
# 32 bytes of RFC 8032, base64url without padding.
_Key = Annotated[str, Field(pattern="^[A-Za-z0-9_-]{43}$")]
_Half = Annotated[dict[Literal["private", "public"], _Key], Field(min_length=1, max_length=1)]


class _KeysFile(SecretFile):
    signing: str
    keys: Annotated[dict[_Kid, _Half], Field(min_length=1, max_length=10)]


@dataclass(frozen=True, slots=True)
class TokenKeys:
    """The signing key, and all keys that verify."""

    signing_kid: str
    signing: Ed25519PrivateKey = field(repr=False)
    public: Mapping[str, Ed25519PublicKey]

    @classmethod
    def load(cls, file: Path) -> Self:
        """Read `{"signing": kid, "keys": {kid: {"private": text} or {"public": text}}}`.

        A retired key needs only its public half. Raises StartRefused, which names the file and the key.
        """
        found = _KeysFile.read(file)
        private, public = {}, {}
        for kid, half in found.keys.items():
            if "private" in half:
                private[kid] = Ed25519PrivateKey.from_private_bytes(base64url_decode(half["private"]))
                public[kid] = private[kid].public_key()
            else:
                public[kid] = Ed25519PublicKey.from_public_bytes(base64url_decode(half["public"]))
        if found.signing not in private:
            raise StartRefused(f"{file}: signing: It has to be the id of a private key.")
        return cls(found.signing, private[found.signing], public)

    def jwks(self) -> dict[str, list[dict[str, Any]]]:
        """Return the public keys as a JWK set (RFC 7517, RFC 8037)."""
        more = {"use": "sig", "alg": ALGORITHM}
        public = {kid: OKPAlgorithm.to_jwk(key, as_dict=True) for kid, key in self.public.items()}
        return {"keys": [{**key, "kid": kid, **more} for kid, key in public.items()]}


def encode(raw: bytes) -> str:
    """Return base64url without padding."""
    return base64url_encode(raw).decode()


def main(arguments: list[str]) -> None:
    """Run the command `rotate`; raises StartRefused."""
    parser = argparse.ArgumentParser(prog="python -m refpay.identity", description=_ROTATES)
    rotate = parser.add_subparsers(dest="command", required=True).add_parser(
        "rotate", help="Sign with a new key. The old key verifies until the next rotation."
    )
    rotate.add_argument(
        "--at-once", action="store_true", help="Forget all old keys, so that existing tokens are refused."
    )
    given = parser.parse_args(arguments)
    folder = os.environ.get("REFPAY_SECRETS_FOLDER", "").strip()
    if not folder:
        raise StartRefused("REFPAY_SECRETS_FOLDER is not set.")
    rotate_keys(Path(folder) / KEYS_FILE, at_once=given.at_once)


def rotate_keys(file: Path, *, at_once: bool = False) -> str:
    """Put a new signing key into a key file and return its id.

    Only the public half of the last key is kept: nobody can sign with it any more, and its tokens last
    until they expire. With `at_once` no old key is kept. Do not rotate more often than tokens expire.
    Raises StartRefused if the file cannot be read or replaced.
    """
    before = TokenKeys.load(file)
    new = Ed25519PrivateKey.generate()
    # The id is made of the key itself, so that no two keys share one.
    kid = encode(new.public_key().public_bytes_raw())[:16]
    keys = {kid: {"private": encode(new.private_bytes_raw())}}
    if not at_once:
        keys[before.signing_kid] = {"public": encode(before.signing.public_key().public_bytes_raw())}
    _replace(file, json.dumps({"signing": kid, "keys": keys}, indent=2))
    return kid


def _replace(file: Path, text: str) -> None:
    new = file.with_name(f".{file.name}.new")
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as writer:
            writer.write(text)
            writer.flush()
            os.fsync(writer.fileno())
        new.replace(file)
    except OSError as problem:
        new.unlink(missing_ok=True)
        raise StartRefused(f"The key file cannot be replaced: {file} ({problem.strerror}).") from problem
