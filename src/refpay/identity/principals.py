"""Who is calling: principals, and the one door through which a token becomes one."""

import hashlib
from pathlib import Path
from typing import Final, Self

from refpay.clock import Clock
from refpay.identity.clients import CLIENTS_FILE, Clients
from refpay.identity.errors import CredentialRefused
from refpay.identity.scopes import Principal, Scope
from refpay.identity.token_keys import KEYS_FILE, TokenKeys
from refpay.identity.tokens import LEEWAY_SECONDS, KeyUnknown, TokenRefused, verify
from refpay.identity.watched import Watched

__all__ = ["Principal", "Principals", "Scope"]

_TOKEN_MAXIMUM: Final = 2048
_KNOWN_MAXIMUM: Final = 4096


class Principals:
    """Turns bearer tokens into principals, and remembers those that it verified.

    A token is refused as soon as its key is retired, and as soon as its client is gone or has lost one of
    its scopes. What is remembered is a digest: a token is nowhere but on its way.
    """

    def __init__(self, keys: Watched[TokenKeys], clients: Watched[Clients], clock: Clock) -> None:
        self.keys, self.clients, self._clock = keys, clients, clock
        self._known: dict[bytes, tuple[float, Principal]] = {}
        self._known_by: tuple[TokenKeys, Clients] | None = None

    @classmethod
    def load(cls, folder: Path, clock: Clock) -> Self:
        """Read clients and keys from a secrets folder; raises StartRefused naming file and key."""
        keys = Watched(folder / KEYS_FILE, TokenKeys.load, clock)
        return cls(keys, Watched(folder / CLIENTS_FILE, Clients.load, clock), clock)

    def authenticate(self, authorization: str | None) -> Principal:
        """Return whom an `Authorization` header belongs to; raises CredentialRefused."""
        kind, _, token = (authorization or "").partition(" ")
        if kind.lower() != "bearer" or not 1 <= len(token) <= _TOKEN_MAXIMUM:
            raise CredentialRefused("a bearer token is needed in the header Authorization")
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
                # Another process may have begun to sign with a new key a moment ago.
                principal, expires_at = verify(token, self.keys.get(fresh=True), now)
        except TokenRefused:
            # Neither the reason nor anything of the token: it tells a stranger how far he came.
            raise CredentialRefused("the bearer token is not accepted") from None
        client = self.clients.get().by_name.get(principal.name)
        if client is None or not principal.scopes <= client.scopes:
            raise CredentialRefused("the bearer token is not accepted")
        return principal, expires_at
