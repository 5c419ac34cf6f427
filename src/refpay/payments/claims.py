"""Idempotency keys: each belongs to one request and, once that is answered, to one stored answer."""

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
    """A state change that somebody asks for.

    `fingerprint` tells one request from another under the same key.
    """

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
        """Return the audit record of what the command changed."""
        name = self.principal.name
        return AuditEvent(now, name, action, kind, subject_id, before, after, self.correlation_id)


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """A definitive answer, stored byte for byte."""

    status: int
    body: bytes

    @classmethod
    def of(cls, status: int, content: object) -> Self:
        """Return the answer with this content as JSON."""
        return cls(status, encode(content))


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer to a request; `replayed` if it was stored before."""

    answer: StoredAnswer
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Claim:
    """A key that was claimed before, the operation it belongs to, and its answer if there is one."""

    fingerprint: bytes
    operation_id: UUID | None
    answer: StoredAnswer | None

    def replay_to(self, command: Command) -> Reply | None:
        """Return the stored answer if there is one.

        Raises KeyReused if the key belongs to another request.
        """
        if self.fingerprint != command.fingerprint:
            raise KeyReused("the idempotency key was used for another request: mint a new one")
        return None if self.answer is None else Reply(self.answer, replayed=True)


def fingerprint(method: str, path: str, body: Any) -> bytes:
    """Return a digest of a request that does not depend on blanks or on the order of keys."""
    canonical = _CANONICAL(body)
    return hashlib.sha256(f"{method}\n{path}\n{canonical}".encode()).digest()
