"""Who may ask for tokens: clients with the digests of their secrets, never a secret."""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from refpay.errors import StartRefused
from refpay.identity.errors import ClientRefused
from refpay.identity.scopes import Scope
from refpay.settings import read_secret_json

CLIENTS_FILE: Final = "clients.json"
_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_CLIENTS_MAXIMUM: Final = 1000
# An old one and a new one while a secret is rotated.
_SECRETS_MAXIMUM: Final = 2
_NOBODY: Final = (bytes(32),)


@dataclass(frozen=True, slots=True)
class Client:
    """A client; its name is also the merchant on whose behalf it pays."""

    name: str
    digests: tuple[bytes, ...]
    scopes: frozenset[Scope]


@dataclass(frozen=True, slots=True)
class Clients:
    """Every client by its name."""

    by_name: Mapping[str, Client]

    @classmethod
    def load(cls, file: Path) -> Self:
        """Read `{"clients": [{"name", "secret_sha256", "scopes"}]}`; a digest may be a list of two.

        Secrets are of high entropy, so that a plain digest is enough. Raises StartRefused naming the place.
        """
        content = read_secret_json(file)
        entries = content.get("clients") if isinstance(content, dict) and len(content) == 1 else None
        if not isinstance(entries, list) or len(entries) > _CLIENTS_MAXIMUM:
            raise StartRefused(
                f"{file}: needed: one key `clients`, a list of at most {_CLIENTS_MAXIMUM} entries"
            )
        clients = [_read_entry(f"{file}: clients[{index}]", entry) for index, entry in enumerate(entries)]
        digests = [digest for client in clients for digest in client.digests]
        by_name = {client.name: client for client in clients}
        if len(by_name) < len(clients) or len(set(digests)) < len(digests):
            raise StartRefused(f"{file}: clients: a name or a secret is there twice")
        return cls(by_name)

    def authenticate(self, name: str, secret: str) -> Client:
        """Return the client whose secret this is; takes as long for an unknown name. Raises ClientRefused."""
        offered = hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
        client = self.by_name.get(name)
        matches = [hmac.compare_digest(digest, offered) for digest in (client.digests if client else _NOBODY)]
        if client is None or not any(matches):
            raise ClientRefused("client id and secret are not those of a client")
        return client


def _read_entry(where: str, entry: Any) -> Client:
    if not isinstance(entry, dict) or set(entry) != {"name", "secret_sha256", "scopes"}:
        raise StartRefused(f"{where}: needed: exactly the keys name, secret_sha256, scopes")
    name, digests, scopes = entry["name"], entry["secret_sha256"], entry["scopes"]
    digests = [digests] if isinstance(digests, str) else digests
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise StartRefused(f"{where}: name: allowed: {_NAME.pattern}")
    if (
        not isinstance(digests, list)
        or not 1 <= len(digests) <= _SECRETS_MAXIMUM
        or not all(isinstance(digest, str) and _DIGEST.fullmatch(digest) for digest in digests)
    ):
        raise StartRefused(f"{where}: secret_sha256: allowed: 64 lower-case hexadecimal digits, or two such")
    if not isinstance(scopes, list) or any(scope not in list(Scope) for scope in scopes):
        raise StartRefused(f"{where}: scopes: allowed: {', '.join(Scope)}")
    return Client(name, tuple(map(bytes.fromhex, digests)), frozenset(Scope(scope) for scope in scopes))
