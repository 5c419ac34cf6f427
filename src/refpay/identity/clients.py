"""Who may ask for tokens: clients with the digests of their secrets, never a secret."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import BeforeValidator, Field

from refpay.errors import StartRefused
from refpay.identity.errors import ClientRefused
from refpay.identity.scopes import Scope
from refpay.identity.watched import SecretFile

CLIENTS_FILE: Final = "clients.json"
_NOBODY: Final = ["0" * 64]
_Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


def _listed(given: Any) -> Any:
    return [given] if isinstance(given, str) else given


class Client(SecretFile):
    """A client; its name is also the merchant on whose behalf it pays.

    Of its secrets there are digests, two while one is rotated; they are of high entropy, so a plain one does.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
    secret_sha256: Annotated[list[_Digest], BeforeValidator(_listed), Field(min_length=1, max_length=2)]
    scopes: frozenset[Scope]


class _ClientsFile(SecretFile):
    clients: Annotated[list[Client], Field(max_length=1000)]


@dataclass(frozen=True, slots=True)
class Clients:
    """Every client by its name."""

    by_name: Mapping[str, Client]

    @classmethod
    def load(cls, file: Path) -> Self:
        """Read `{"clients": [{"name", "secret_sha256", "scopes"}]}`; raises StartRefused naming the place."""
        clients = _ClientsFile.read(file).clients
        digests = [digest for client in clients for digest in client.secret_sha256]
        by_name = {client.name: client for client in clients}
        if len(by_name) < len(clients) or len(set(digests)) < len(digests):
            raise StartRefused(f"{file}: clients: a name or a secret is there twice")
        return cls(by_name)

    def authenticate(self, name: str, secret: str) -> Client:
        """Return the client whose secret this is; takes as long for an unknown name. Raises ClientRefused."""
        offered = hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
        client = self.by_name.get(name)
        digests = client.secret_sha256 if client else _NOBODY
        matches = [hmac.compare_digest(digest, offered) for digest in digests]
        if client is None or not any(matches):
            raise ClientRefused("client id and secret are not those of a client")
        return client
