"""Keep what the integrity checks have read in a file, so that a restarted worker can answer at once.

The file lies outside the database: whoever writes with the service's role can add a forged entry, but cannot
note its id range as read. It counts for one database and one state of the server's counters of changes to the
ledger; with any other it is left unread. A process that resumes from it reads every range again all the same.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import structlog

from refpay.db.pool import Connection
from refpay.ledger.causes import FIRST_ID
from refpay.operations.checks_repository import MoneyAtRisk, Reason

# A system that was copied or restored has another name here.
_DATABASE: Final = """
    SELECT system_identifier || ' ' || (SELECT oid FROM pg_database WHERE datname = current_database())
    FROM pg_control_system()
"""
_LOG: Final = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class KeptRange:
    """An id range from `start`: when it was last read, None if that does not count, and what was found."""

    start: UUID
    read_at: datetime | None
    found: Sequence[MoneyAtRisk]


@dataclass(frozen=True, slots=True)
class KeptChecks:
    """What was read up to the round that began `at`. The last range is open.

    `touched` is the state of the server's counters before the ranges were read.
    """

    database: str
    touched: str
    at: datetime
    ranges: Sequence[KeptRange]


async def read_database_name(connection: Connection) -> str:
    """Return a name that no other database has, also not a copy on another server."""
    name: str = await connection.fetchval(_DATABASE)
    return name


def read_kept(file: Path, *, database: str, touched: str, now: datetime) -> KeptChecks | None:
    """Return what was kept of this database; None if there is nothing, or it does not count any more."""
    try:
        kept = _parse(json.loads(file.read_text(encoding="utf-8")), now)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as problem:
        _LOG.warning("integrity_readings_not_read", problem=type(problem).__name__)
        return None
    if (kept.database, kept.touched) != (database, touched):
        changed = "database" if kept.database != database else "ledger"
        _LOG.warning("integrity_readings_not_used", changed=changed, at=kept.at.isoformat())
        return None
    return kept


def write_kept(file: Path, kept: KeptChecks) -> None:
    """Replace the file as a whole. A failure is logged: the next process reads everything first."""
    ranges = [
        [str(one.start), one.read_at and one.read_at.isoformat(), [_finding(each) for each in one.found]]
        for one in kept.ranges
    ]
    head = {"database": kept.database, "touched": kept.touched, "at": kept.at.isoformat()}
    part = file.with_suffix(".part")
    try:
        part.write_text(json.dumps({**head, "ranges": ranges}), encoding="utf-8")
        part.replace(file)
    except OSError as problem:
        _LOG.warning("integrity_readings_not_kept", problem=type(problem).__name__)


def _finding(one: MoneyAtRisk) -> list[object]:
    amounts = (one.findings, one.minor_units, one.at_risk_minor_units)
    return [one.reason.value, one.provider, one.currency, *amounts, one.oldest and one.oldest.isoformat()]


def _parse(given: Mapping[str, Any], now: datetime) -> KeptChecks:
    ranges = [
        KeptRange(UUID(start), _past(read_at, now), [_money(*each) for each in found])
        for start, read_at, found in given["ranges"]
    ]
    starts = [one.start for one in ranges]
    if starts[:1] != [FIRST_ID] or starts != sorted(set(starts)):
        raise ValueError("the ranges are not in order")
    at = _past(given["at"], now)
    if at is None:
        raise ValueError("kept in the future")
    return KeptChecks(str(given["database"]), str(given["touched"]), at, ranges)


def _past(text: str | None, now: datetime) -> datetime | None:
    """Return the instant if it is one and has passed: a time to come would keep a range from being read."""
    at = None if text is None else datetime.fromisoformat(text)
    return at if at is not None and at <= now else None


def _money(
    reason: str,
    provider: str | None,
    currency: str,
    findings: int,
    minor: int,
    at_risk: int,
    oldest: str | None,
) -> MoneyAtRisk:
    since = None if oldest is None else datetime.fromisoformat(oldest)
    return MoneyAtRisk(Reason(reason), provider, currency, int(findings), int(minor), int(at_risk), since)
