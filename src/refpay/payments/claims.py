"""What an idempotency key stands for: one request, and in the end one answer."""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Self
from uuid import UUID

from refpay.audit.events import AuditEvent, Facts, SubjectKind
from refpay.encoding import encode
from refpay.identity.principals import Principal
from refpay.payments.errors import KeyReused

_CANONICAL: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode


@dataclass(frozen=True, slots=True)
class Command:
    """Who wants a state change, under which key; `fingerprint` tells one request from another."""

    principal: Principal
    key: str
    fingerprint: bytes
    correlation_id: str
    traffic: str

    def audit(
        self,
        action: str,
        kind: SubjectKind,
        subject_id: str,
        *,
        before: Facts | None = None,
        after: Facts,
        now: datetime,
    ) -> AuditEvent:
        """Return the audit record of what it changed."""
        name = self.principal.name
        return AuditEvent(now, name, action, kind, subject_id, before, after, self.correlation_id)


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """A definitive answer, byte for byte."""

    status: int
    body: bytes

    @classmethod
    def of(cls, status: int, content: object) -> Self:
        """Return the answer that says this as JSON."""
        return cls(status, encode(content))


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer on its way out."""

    answer: StoredAnswer
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Claim:
    """A key that was claimed before: by what, and answered how."""

    fingerprint: bytes
    operation_id: UUID | None
    answer: StoredAnswer | None

    def replay_to(self, command: Command) -> Reply | None:
        """Return the stored answer if there is one; raises KeyReused for another request."""
        if self.fingerprint != command.fingerprint:
            raise KeyReused("the idempotency key was used for another request: mint a new one")
        return None if self.answer is None else Reply(self.answer, replayed=True)


def fingerprint(method: str, path: str, body: Any) -> bytes:
    """Return a digest of a request: the same for the same meaning, whatever its blanks and order."""
    canonical = _CANONICAL(body)
    return hashlib.sha256(f"{method}\n{path}\n{canonical}".encode()).digest()
