"""Authenticate principals by access token.

Clients are stored with digests of their secrets, never with a secret.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import BeforeValidator, Field

from refpay.clock import Clock
from refpay.errors import StartRefused
from refpay.identity.errors import ClientRefused, CredentialRefused
from refpay.identity.scopes import Principal, Scope
from refpay.identity.secret_files import SecretFile, WatchedFile
from refpay.identity.token_keys import KEYS_FILE, TokenKeys
from refpay.identity.tokens import LEEWAY_SECONDS, KeyUnknown, TokenRefused, verify

__all__ = ["Principal", "Principals", "Scope"]

CLIENTS_FILE: Final = "clients.json"
_TOKEN_MAXIMUM: Final = 2048
_KNOWN_MAXIMUM: Final = 4096
_LISTED: Final = BeforeValidator(lambda given: [given] if isinstance(given, str) else given)
_NOBODY: Final = ["0" * 64]
_Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Client(SecretFile):
    """A client. Its name is also the merchant on whose behalf it pays.

    A client has one secret digest, two during a rotation. Secrets have high entropy, so a plain SHA-256 is
    enough.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
    secret_sha256: Annotated[list[_Digest], _LISTED, Field(min_length=1, max_length=2)]
    scopes: frozenset[Scope]


class _ClientsFile(SecretFile):
    clients: Annotated[list[Client], Field(max_length=1000)]


@dataclass(frozen=True, slots=True)
class Clients:
    """All clients by name."""

    by_name: Mapping[str, Client]

    @classmethod
    def load(cls, file: Path) -> Self:
        """Read `{"clients": [{"name", "secret_sha256", "scopes"}]}`.

        Raises StartRefused, which names the wrong key.
        """
        clients = _ClientsFile.read(file).clients
        digests = [digest for client in clients for digest in client.secret_sha256]
        by_name = {client.name: client for client in clients}
        if len(by_name) < len(clients) or len(set(digests)) < len(digests):
            raise StartRefused(f"{file}: clients: A name or a secret is repeated.")
        return cls(by_name)

    def authenticate(self, name: str, secret: str) -> Client:
        """Return the client that has this secret; raises ClientRefused.

        An unknown name takes as long as a known one.
        """
        offered = hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
        client = self.by_name.get(name)
        digests = client.secret_sha256 if client else _NOBODY
        matches = [hmac.compare_digest(digest, offered) for digest in digests]
        if client is None or not any(matches):
            raise ClientRefused("The client id and secret are not those of a client.")
        return client


class Principals:
    """Turn bearer tokens into principals, and cache those that were verified.

    A token is refused as soon as its key is retired, its client is removed, or its client loses one of the
    token's scopes. The cache holds digests, never tokens.
    """

    def __init__(self, keys: WatchedFile[TokenKeys], clients: WatchedFile[Clients], clock: Clock) -> None:
        self.keys, self.clients, self._clock = keys, clients, clock
        self._known: dict[bytes, tuple[float, Principal]] = {}
        self._known_by: tuple[TokenKeys, Clients] | None = None

    @classmethod
    def load(cls, folder: Path, clock: Clock) -> Self:
        """Read clients and keys from a secrets folder.

        Raises StartRefused, which names the file and the key.
        """
        keys = WatchedFile(folder / KEYS_FILE, TokenKeys.load, clock)
        return cls(keys, WatchedFile(folder / CLIENTS_FILE, Clients.load, clock), clock)

    def authenticate(self, authorization: str | None) -> Principal:
        """Return the principal of an `Authorization` header; raises CredentialRefused."""
        kind, _, token = (authorization or "").partition(" ")
        if kind.lower() != "bearer" or not 1 <= len(token) <= _TOKEN_MAXIMUM:
            raise CredentialRefused("A bearer token is needed in the header Authorization.")
        keys, clients = self.keys.get(), self.clients.get()
        if self._known_by is None or self._known_by[0] is not keys or self._known_by[1] is not clients:
            self._known.clear()
            self._known_by = keys, clients
        now = self._clock.now().timestamp()
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        known = self._known.get(digest)
        if known is not None and now < known[0]:
            return known[1]
        principal, expires_at = self._verify(token, now)
        if len(self._known) >= _KNOWN_MAXIMUM:
            del self._known[next(iter(self._known))]
        self._known[digest] = expires_at + LEEWAY_SECONDS, principal
        return principal

    def _verify(self, token: str, now: float) -> tuple[Principal, float]:
        try:
            try:
                principal, expires_at = verify(token, self.keys.get(), now)
            except KeyUnknown:
                # Another process may have just begun to sign with a new key.
                principal, expires_at = verify(token, self.keys.get(fresh=True), now)
        except TokenRefused:
            # The reason is not revealed: it would tell an attacker which check failed.
            raise CredentialRefused("The bearer token is not accepted.") from None
        client = self.clients.get().by_name.get(principal.name)
        if client is None or not principal.scopes <= client.scopes:
            raise CredentialRefused("The bearer token is not accepted.")
        return principal, expires_at
