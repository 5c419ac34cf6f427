"""Define an audit record: who, what, when, before, after, and which request."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

Facts = Mapping[str, str | int | bool | None]


class SubjectKind(StrEnum):
    """The kinds of things that change."""

    PAYMENT = "payment"
    PAYOUT = "payout"
    OPERATION = "operation"
    PROVIDER = "provider"
    CARD_RANGE = "card_range"
    QUEUE = "queue"


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One change. `before` is None for something new. Never contains a token or card data."""

    at: datetime
    actor: str
    action: str
    subject_kind: SubjectKind
    subject_id: str
    before: Facts | None
    after: Facts
    correlation_id: str
