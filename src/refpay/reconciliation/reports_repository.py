"""Store reports, their revisions and lines, and the progress of reconciliation."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from datetime import datetime
from operator import attrgetter
from typing import Any, Final, Self

from refpay.db.pool import Connection, Row
from refpay.money import Currency
from refpay.providers.reports import MovementKind, ReportAnnouncement, ReportLine
from refpay.reconciliation.model import Progress, ReportState

# Limits how long a statement takes.
_LINES_AT_ONCE: Final = 5_000

_PROGRESS = """
    SELECT run_sequence, horizon, watermark, next_due FROM reconciliation.progress WHERE provider = $1
"""
_WRITE_PROGRESS = """
    UPDATE reconciliation.progress SET run_sequence = $2, horizon = $3, watermark = $4, next_due = $5
    WHERE provider = $1
"""
_KNOWN = """
    SELECT sequence, period_start, period_end, due, state, revision, digest, refused_digest
    FROM reconciliation.report WHERE provider = $1
"""
_NEWEST = "SELECT max(sequence) FROM reconciliation.report WHERE provider = $1"
_WANTED = """
    SELECT sequence FROM reconciliation.report
    WHERE provider = $1 AND digest IS NULL AND sequence > $2 ORDER BY sequence LIMIT 1
"""
_WRITE = """
    INSERT INTO reconciliation.report (
        provider, sequence, period_start, period_end, due, state, revision, digest, refused_digest, problem,
        changed_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
    ON CONFLICT (provider, sequence) DO UPDATE
    SET period_start = $3, period_end = $4, due = $5, state = $6, revision = $7, digest = $8,
        refused_digest = $9, problem = $10, changed_at = $11
"""
_CURRENT_DIGEST = """
    SELECT digest FROM reconciliation.revision WHERE provider = $1 AND sequence = $2 AND revision = $3
"""
_REVISE = """
    INSERT INTO reconciliation.revision (provider, sequence, revision, digest, lines_digest, received_at)
    VALUES ($1, $2, $3, $4, $5, $6)
"""
_LINE_COLUMNS = (
    *("provider", "sequence", "revision", "position", "key", "movement", "reference", "kind", "amount_minor"),
    *("currency", "fee_minor", "booked_at", "settled_currency", "settled_minor"),
)
_LINE_VALUES = attrgetter(*(field.name for field in fields(ReportLine)))
# The fields of a line, in their order.
LINE_FIELDS = """key, movement, reference, kind, amount_minor, currency, fee_minor, booked_at AS at,
           settled_currency, settled_minor"""
_LINES_OF = f"""
    SELECT {LINE_FIELDS} FROM reconciliation.line
    WHERE provider = $1 AND sequence = $2 AND revision = $3 AND position >= $4 AND position < $5
"""  # noqa: S608 - a fragment of our own
_ELSEWHERE = """
    SELECT sequence
    FROM reconciliation.revision JOIN reconciliation.report USING (provider, sequence, revision)
    WHERE provider = $1 AND lines_digest = $2 AND sequence <> $3 LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class KnownReport:
    """A stored report. `revision` is 0 if none was ever accepted.

    `digest` is what the revision in force was announced with, `refused_digest` what was last refused.
    """

    sequence: int
    period_start: datetime
    period_end: datetime
    due: datetime
    state: ReportState
    revision: int
    digest: str | None = None
    refused_digest: str | None = None

    @classmethod
    def announced(
        cls, notice: ReportAnnouncement, state: ReportState, revision: int, digest: str | None
    ) -> Self:
        """Return a report with the announced period."""
        return cls(notice.sequence, notice.start, notice.end, notice.due, state, revision, digest)


async def read_progress(connection: Connection, provider: str, *, lock: bool = False) -> Progress:
    """Return the progress. With `lock` it is locked until the transaction ends."""
    row = await connection.fetchrow(f"{_PROGRESS} FOR UPDATE" if lock else _PROGRESS, provider)
    assert row is not None, "the schema has one row for each provider"  # noqa: S101 narrows the type
    return Progress(**row)


async def write_progress(connection: Connection, provider: str, progress: Progress) -> None:
    """Write how far we are."""
    await connection.execute(_WRITE_PROGRESS, provider, *astuple(progress))


async def read_newest(connection: Connection, provider: str) -> int | None:
    """Return the highest sequence that was ever announced."""
    found = await connection.fetchval(_NEWEST, provider)
    return None if found is None else int(found)


async def read_wanted(connection: Connection, provider: str, *, after: int) -> int | None:
    """Return the first report after `after` that has to be fetched even if it is announced unchanged."""
    found = await connection.fetchval(_WANTED, provider, after)
    return None if found is None else int(found)


async def read_known(
    connection: Connection, provider: str, sequences: Sequence[int]
) -> Mapping[int, KnownReport]:
    """Return the stored reports with these sequences."""
    rows = await connection.fetch(f"{_KNOWN} AND sequence = ANY($2::bigint[])", provider, list(sequences))
    return {row["sequence"]: _known(row) for row in rows}


async def read_following(
    connection: Connection, provider: str, *, after: int, limit: int
) -> Sequence[KnownReport]:
    """Return the stored reports after `after`, ascending."""
    rows = await connection.fetch(
        f"{_KNOWN} AND sequence > $2 ORDER BY sequence LIMIT $3", provider, after, limit
    )
    return [_known(row) for row in rows]


async def write_report(
    connection: Connection, provider: str, report: KnownReport, *, problem: str | None = None, now: datetime
) -> None:
    """Insert or update a report."""
    await connection.execute(_WRITE, provider, *astuple(report), problem, now)


async def read_revision_digest(
    connection: Connection, provider: str, sequence: int, revision: int
) -> str | None:
    """Return the digest of a revision."""
    found = await connection.fetchval(_CURRENT_DIGEST, provider, sequence, revision)
    return None if found is None else str(found)


async def insert_revision(
    connection: Connection,
    provider: str,
    report: KnownReport,
    *,
    digest: str,
    lines_digest: str | None,
    now: datetime,
) -> None:
    """Insert a new revision, whose lines are stored."""
    values = (report.sequence, report.revision, digest, lines_digest, now)
    await connection.execute(_REVISE, provider, *values)


async def insert_lines(
    connection: Connection,
    provider: str,
    sequence: int,
    revision: int,
    lines: Sequence[ReportLine],
    *,
    first: int,
) -> None:
    """Insert lines of a revision, at the positions from `first`."""
    # With COPY, because the driver takes three times as long for arrays.
    rows = (
        (provider, sequence, revision, position, *_LINE_VALUES(line))
        for position, line in enumerate(lines, start=first)
    )
    await connection.copy_records_to_table(
        "line", schema_name="reconciliation", columns=_LINE_COLUMNS, records=rows
    )


async def read_lines(
    connection: Connection, provider: str, sequence: int, revision: int
) -> Sequence[ReportLine]:
    """Return the lines of a revision; revision 0 has none."""
    lines: list[ReportLine] = []
    while True:
        first = len(lines)
        rows = await connection.fetch(_LINES_OF, provider, sequence, revision, first, first + _LINES_AT_ONCE)
        # A hundred thousand of them take most of a second, so they are converted in a thread.
        lines += await asyncio.to_thread(list, map(read_line, rows))
        if len(rows) < _LINES_AT_ONCE:
            return lines


def read_line(values: Iterable[Any]) -> ReportLine:
    """Return the line with these LINE_FIELDS."""
    key, movement, reference, kind, amount, currency, fee, at, settled, minor = values
    named = (key, movement, reference, MovementKind(kind), amount, Currency(currency), fee, at)
    return ReportLine(*named, settled and Currency(settled), minor)


async def find_elsewhere(
    connection: Connection, provider: str, sequence: int, lines_digest: str | None
) -> int | None:
    """Return another report in force that has exactly these lines, or None."""
    if lines_digest is None:
        return None
    found = await connection.fetchval(_ELSEWHERE, provider, lines_digest, sequence)
    return None if found is None else int(found)


def _known(row: Row) -> KnownReport:
    return KnownReport(**{**dict(row), "state": ReportState(row["state"])})
