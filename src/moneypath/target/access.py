"""How moneypath shows a server who it is: headers made of secrets, and certificates that it trusts."""

import base64
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from moneypath.secret_files import SecretFileUnusable, read_secret, require_private
from moneypath.stack.tokens import TokenSource
from moneypath.target.calls import Auth, BasicAuth, BearerToken, ClientCredentials, SecretHeader, Server
from moneypath.target.loader import Target
from moneypath.telemetry.redaction import redact

MASK: Final = "***"


@dataclass(frozen=True, slots=True)
class ServerAccess:
    """Headers with secrets, which no repr shows, and the TLS context: True for the usual certificates."""

    headers: Mapping[str, str] = field(repr=False)
    tls: ssl.SSLContext | bool = True


@dataclass(frozen=True, slots=True)
class Access:
    """Reads the secrets of a target at each use, so that a rotated one works; tokens are used again."""

    target: Target
    _tokens: dict[ClientCredentials, TokenSource] = field(default_factory=dict)
    _seen: set[str] = field(default_factory=set, repr=False)

    async def of(self, server: Server) -> ServerAccess:
        """Return how to ask `server`; raises SecretFileUnusable, and TokenUnavailable for OAuth 2."""
        tls: ssl.SSLContext | bool = True
        if server.ca_file is not None:
            file = self.target.path(server.ca_file)
            try:
                tls = ssl.create_default_context(cafile=str(file))
            except (OSError, ssl.SSLError):
                raise SecretFileUnusable(
                    f"{file}: is no file of certificates.", hint="Name a PEM file of the authority."
                ) from None
        return ServerAccess({} if server.auth is None else await self._headers(server.auth), tls)

    def forget_tokens(self) -> None:
        """Discard every token: one was refused, so its signing key may be retired."""
        self._tokens.clear()

    def masked(self, text: str) -> str:
        """Return a text without the secrets that were read, and without what a terminal would obey."""
        for secret in sorted(self._seen, key=len, reverse=True):
            text = text.replace(secret, MASK)
        return redact("".join(char if char.isprintable() else " " for char in text))

    async def _headers(self, auth: Auth) -> Mapping[str, str]:
        if isinstance(auth, BearerToken):
            return {"Authorization": f"Bearer {self._secret(auth.token_file)}"}
        if isinstance(auth, BasicAuth):
            pair = f"{auth.user}:{self._secret(auth.password_file)}"
            return {"Authorization": f"Basic {self._remember(base64.b64encode(pair.encode()).decode())}"}
        if isinstance(auth, SecretHeader):
            return {auth.name: self._secret(auth.value_file)}
        return {"Authorization": await self._token(auth)}

    async def _token(self, auth: ClientCredentials) -> str:
        file = self.target.path(auth.client_file)
        require_private(file)
        if auth not in self._tokens:
            self._tokens[auth] = TokenSource(auth.token_url, file, *auth.scopes, path="")
        header = await self._tokens[auth].header_async()
        self._remember(header.removeprefix("Bearer "))
        return header

    def _secret(self, name: str) -> str:
        return self._remember(read_secret(self.target.path(name)))

    def _remember(self, secret: str) -> str:
        self._seen.add(secret)
        return secret
