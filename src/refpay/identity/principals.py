"""Principals and their scopes, read once from the token file."""

import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Self

from refpay.errors import StartRefused
from refpay.identity.errors import CredentialRefused, ScopeMissing
from refpay.settings import read_secret_json

_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_PRINCIPALS_MAXIMUM: Final = 1000
_TOKEN_MAXIMUM: Final = 512


class Scope(StrEnum):
    """All that can be allowed; reading, moving money and operating the service are apart."""

    PAYMENTS_AUTHORIZE = "payments:authorize"
    PAYMENTS_CAPTURE = "payments:capture"
    PAYMENTS_REFUND = "payments:refund"
    PAYMENTS_READ = "payments:read"
    OPERATIONS_READ = "operations:read"
    OPERATIONS_ROUTE = "operations:route"
    OPERATIONS_RISK = "operations:risk"
    OPERATIONS_REPLAY = "operations:replay"
    OPERATIONS_REPAIR = "operations:repair"
    AUDIT_READ = "audit:read"
    TRAFFIC_CANARY = "traffic:canary"


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller: its name is also the merchant on whose behalf it pays."""

    name: str
    scopes: frozenset[Scope]

    def require(self, scope: Scope) -> None:
        """Raise ScopeMissing unless the scope is held."""
        if scope not in self.scopes:
            raise ScopeMissing(f"scope is missing: {scope}")


class Principals:
    """Knows the digest of every token, never a token."""

    def __init__(self, digests: Iterable[tuple[bytes, Principal]]) -> None:
        self._digests = tuple(digests)

    @classmethod
    def load(cls, file: Path) -> Self:
        """Read `{"principals": [{"name", "token_sha256", "scopes"}]}`.

        Raises StartRefused naming file and key.
        """
        content = read_secret_json(file)
        entries = content.get("principals") if isinstance(content, dict) and len(content) == 1 else None
        if not isinstance(entries, list) or len(entries) > _PRINCIPALS_MAXIMUM:
            raise StartRefused(
                f"{file}: needed: one key `principals`, a list of at most {_PRINCIPALS_MAXIMUM} entries"
            )
        digests = [_read_entry(file, index, entry) for index, entry in enumerate(entries)]
        names = [principal.name for _, principal in digests]
        if len({digest for digest, _ in digests}) < len(digests) or len(set(names)) < len(names):
            raise StartRefused(f"{file}: principals: a name or a token is there twice")
        return cls(digests)

    def authenticate(self, authorization: str | None) -> Principal:
        """Return whom an `Authorization` header belongs to; raises CredentialRefused."""
        kind, _, token = (authorization or "").partition(" ")
        if kind.lower() != "bearer" or not 1 <= len(token) <= _TOKEN_MAXIMUM:
            raise CredentialRefused("a bearer token is needed in the header Authorization")
        offered = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
        found: Principal | None = None
        # Every digest is compared, so that the time taken says nothing about the position of a match.
        for digest, principal in self._digests:
            if hmac.compare_digest(digest, offered):
                found = principal
        if found is None:
            raise CredentialRefused("the bearer token is not known")
        return found


def _read_entry(file: Path, index: int, entry: Any) -> tuple[bytes, Principal]:
    where = f"{file}: principals[{index}]"
    if not isinstance(entry, dict) or set(entry) != {"name", "token_sha256", "scopes"}:
        raise StartRefused(f"{where}: needed: exactly the keys name, token_sha256, scopes")
    name, digest, scopes = entry["name"], entry["token_sha256"], entry["scopes"]
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise StartRefused(f"{where}: name: allowed: {_NAME.pattern}")
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise StartRefused(f"{where}: token_sha256: allowed: 64 lower-case hexadecimal digits")
    if not isinstance(scopes, list) or any(scope not in list(Scope) for scope in scopes):
        raise StartRefused(f"{where}: scopes: allowed: {', '.join(Scope)}")
    return bytes.fromhex(digest), Principal(name, frozenset(Scope(scope) for scope in scopes))
