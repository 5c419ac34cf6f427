"""The input of a risk assessment, what is known of a card range, and the result."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class Rule(StrEnum):
    """A rule that makes an authorization suspicious."""

    CARD_TESTING = "card_testing"


@dataclass(frozen=True, slots=True)
class AuthorizationAttempt:
    """An authorization before its provider is called. The amount is in minor units of any currency."""

    operation_id: UUID
    at: datetime
    card_range: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class RecentAuthorizations:
    """How issuers answered the newest small authorizations of one card range within the window."""

    answered: int
    declined: int


@dataclass(frozen=True, slots=True)
class Assessment:
    """The assessment of an authorization. `newly_blocked` is the reason if this one got its range blocked."""

    blocked: bool = False
    rule: Rule | None = None
    newly_blocked: str | None = None


@dataclass(frozen=True, slots=True)
class CardRange:
    """A card range that was ever blocked, and its last change."""

    card_range: str
    blocked: bool
    changed_by: str
    changed_at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class CardRangeActivity:
    """Activity of one card range within the window. Only small authorizations are counted."""

    card_range: str
    signals: int
    blocked: int
    authorizations: int
    declined: int
