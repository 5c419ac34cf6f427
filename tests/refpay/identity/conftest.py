"""A secrets folder of clients and keys, a clock that stands still, and tokens of every kind."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from refpay.identity.principals import Principals
from refpay.identity.scopes import Scope
from refpay.identity.token_issuer import TokenIssuer
from refpay.identity.token_keys import encode
from refpay.identity.tokens import issue

SECRETS = {"shop": "s" * 43, "observer": "o" * 43, "operator": "p" * 43}
SCOPES: Mapping[str, tuple[str, ...]] = {
    "shop": ("payments:authorize", "payments:read"),
    "observer": ("operations:read", "ledger:read"),
    "operator": ("operations:repair", "payments:refund", "traffic:canary"),
}


@dataclass(slots=True)
class ManualClock:
    """A clock that a test sets by hand; both readings go together."""

    at: datetime = field(default_factory=lambda: datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC))
    seconds: float = 1000.0

    def now(self) -> datetime:
        """Return the instant."""
        return self.at

    def monotonic(self) -> float:
        """Return the seconds."""
        return self.seconds

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.at += timedelta(seconds=seconds)
        self.seconds += seconds


@dataclass(slots=True)
class IdentitySetup:
    """A secrets folder and what is read from it."""

    folder: Path
    clock: ManualClock
    principals: Principals = field(init=False)
    issuer: TokenIssuer = field(init=False)

    def open(self) -> None:
        """Read everything, as a process does when it starts."""
        self.principals = Principals.load(self.folder, self.clock)
        self.issuer = TokenIssuer(self.principals, self.clock)

    def put(self, name: str, content: Any) -> None:
        """Replace a file as a rotation does; text as it is, everything else as JSON."""
        new = self.folder / f"{name}.new"
        new.write_text(content if isinstance(content, str) else json.dumps(content))
        new.replace(self.folder / name)

    def put_keys(self, signing: str, *kids: str) -> None:
        """Write private keys that follow from their ids."""
        keys = {kid: {"private": encode(seed_of(kid))} for kid in kids}
        self.put("token_keys.json", {"signing": signing, "keys": keys})

    def put_clients(self, scopes: Mapping[str, tuple[str, ...]] = SCOPES, **secrets: list[str]) -> None:
        """Write clients; `secrets` replace a client's one secret."""
        clients = [
            {
                "name": name,
                "secret_sha256": [digest_of(text) for text in secrets.get(name, [SECRETS[name]])],
                "scopes": granted,
            }
            for name, granted in scopes.items()
        ]
        self.put("clients.json", {"clients": clients})

    def issue(self, name: str = "shop", *scopes: str) -> str:
        """Return a header with a right token."""
        chosen = frozenset(map(Scope, scopes or SCOPES[name]))
        return f"Bearer {issue(name, chosen, self.principals.keys.get(), self.clock.now())}"


def seed_of(kid: str) -> bytes:
    """Return the private key of a test's key id."""
    return hashlib.sha256(kid.encode()).digest()


def digest_of(secret: str) -> str:
    """Return what a client's file says of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


@pytest.fixture
def identity(tmp_path: Path) -> IdentitySetup:
    """Give a test a identity of its own with one key and three clients."""
    identity = IdentitySetup(tmp_path, ManualClock())
    identity.put_keys("k1", "k1")
    identity.put_clients()
    identity.open()
    return identity


@pytest.fixture
def make_clock() -> Callable[[], ManualClock]:
    """Return what makes a clock that stands still."""
    return ManualClock


@pytest.fixture
def secrets() -> Mapping[str, str]:
    """Return every client's secret."""
    return SECRETS


@pytest.fixture
def seed() -> Callable[[str], bytes]:
    """Return what gives the private key of a key id."""
    return seed_of
