"""The keys of access tokens: one signs, several verify, so that they can be rotated under load."""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from refpay.errors import StartRefused
from refpay.settings import read_secret_json

KEYS_FILE: Final = "token_keys.json"
ALGORITHM: Final = "EdDSA"
_KEYS_MAXIMUM: Final = 10
_KID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
# 32 bytes of RFC 8032, base64url without padding.
_KEY: Final = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class TokenKeys:
    """Everything that verifies, and what signs now."""

    signing_kid: str
    signing: Ed25519PrivateKey = field(repr=False)
    public: Mapping[str, Ed25519PublicKey]

    @classmethod
    def load(cls, file: Path) -> Self:
        """Read `{"signing": kid, "keys": {kid: {"private": text} or {"public": text}}}`.

        A retired key needs its public half alone. Raises StartRefused naming file and key.
        """
        content = read_secret_json(file)
        entries = content.get("keys") if isinstance(content, dict) else None
        if not isinstance(entries, dict) or not 1 <= len(entries) <= _KEYS_MAXIMUM or len(content) != 2:
            raise StartRefused(f"{file}: needed: the keys `signing` and `keys`, 1 to {_KEYS_MAXIMUM} of them")
        private = {kid: key for kid, entry in entries.items() if (key := _read_private(file, kid, entry))}
        public = {
            kid: private[kid].public_key() if kid in private else _read_public(entry)
            for kid, entry in entries.items()
        }
        kid = content.get("signing")
        if not isinstance(kid, str) or kid not in private:
            raise StartRefused(f"{file}: signing: needed: the id of a private key")
        return cls(kid, private[kid], public)

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """Return the public keys as a JWK set (RFC 7517, RFC 8037)."""
        common = {"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": ALGORITHM}
        return {
            "keys": [
                {**common, "kid": kid, "x": encode(key.public_bytes_raw())}
                for kid, key in self.public.items()
            ]
        }


def _read_private(file: Path, kid: str, entry: Any) -> Ed25519PrivateKey | None:
    halves = list(entry.items()) if isinstance(entry, dict) else []
    if (
        not _KID.fullmatch(kid)
        or len(halves) != 1
        or halves[0][0] not in ("private", "public")
        or not isinstance(halves[0][1], str)
        or not _KEY.fullmatch(halves[0][1])
    ):
        # The id is not quoted: in a mangled file it may be the secret.
        raise StartRefused(
            f"{file}: keys: each needed: an id of {_KID.pattern} with one of `private`, `public`, "
            "43 characters of base64url"
        )
    return Ed25519PrivateKey.from_private_bytes(_decode(halves[0][1])) if halves[0][0] == "private" else None


def _read_public(entry: Mapping[str, str]) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(_decode(entry["public"]))


def encode(raw: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(f"{text}=")
