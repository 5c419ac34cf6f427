"""Advance the run, the horizon and the watermark, and find operations that no report has."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from refpay.db.pool import Connection
from refpay.reconciliation import breaks_repository, evidence_repository
from refpay.reconciliation import reports_repository as stored
from refpay.reconciliation.comparing import Comparison, MatchingRules, RowCount
from refpay.reconciliation.model import Progress
from refpay.reconciliation.reports_repository import KnownReport

# How many reports one transaction advances by; the next round continues from there.
_REPORTS_AT_ONCE: Final = 200
# How far two clocks may differ: what was resolved this long before the first report may be in it.
_CLOCK_SKEW: Final = timedelta(seconds=1)
# A transaction commits a little after the instant that it writes as resolved.
_LATE_COMMITS: Final = timedelta(seconds=30)


async def advance(connection: Connection, provider: str, *, rules: MatchingRules, now: datetime) -> RowCount:
    """Advance by what has been accepted, in the caller's transaction; return the rows found missing.

    An operation that was resolved at t was booked by t, give or take a second of clock skew. So it is in a
    report up to the one whose period holds t, or in the next one. Once the run has passed the start of that
    next report, the operation is missing if no report in force has it.
    """
    before = await stored.read_progress(connection, provider, lock=True)
    last, following = await _extend(connection, provider, before)
    if last is None:
        due = following[0].due if following else None
        await _write(connection, provider, before, Progress(None, None, None, due))
        return RowCount()
    watermark = await _watermark(connection, provider, last)
    next_due = last.due + (last.period_end - last.period_start)
    after = Progress(last.sequence, last.period_start, watermark, next_due)
    await _write(connection, provider, before, after)
    if before.horizon == after.horizon:
        return RowCount()
    since = await _beginning(connection, provider)
    if before.horizon is not None:
        since = max(since, before.horizon - _LATE_COMMITS)
    keys = await evidence_repository.read_unreported(
        connection, provider, since=since, before=last.period_start
    )
    comparison = Comparison(connection, provider, rules, now, after.horizon)
    return await comparison.compare(keys)


async def _extend(
    connection: Connection, provider: str, before: Progress
) -> tuple[KnownReport | None, Sequence[KnownReport]]:
    """Return the last report of the run, and the reports that follow the old end of the run."""
    if before.run_sequence is None:
        last = None
        following = await stored.read_following(connection, provider, after=-1, limit=_REPORTS_AT_ONCE)
    else:
        # Includes the last report itself, whose period may have been corrected.
        last, *following = await stored.read_following(
            connection, provider, after=before.run_sequence - 1, limit=_REPORTS_AT_ONCE
        )
    for report in following:
        if not report.revision or (last is not None and report.sequence != last.sequence + 1):
            break
        last = report
    return last, following


async def _watermark(connection: Connection, provider: str, last: KnownReport) -> datetime | None:
    """Return the end of the last report of the run before the first one with a line that is not compared."""
    left = await breaks_repository.read_first_open(connection, provider)
    if left is None or left > last.sequence:
        return last.period_end
    found = await stored.read_known(connection, provider, [left - 1])
    return found[left - 1].period_end if left - 1 in found else None


async def _beginning(connection: Connection, provider: str) -> datetime:
    first, *_ = await stored.read_following(connection, provider, after=-1, limit=1)
    return first.period_start - _CLOCK_SKEW


async def _write(connection: Connection, provider: str, before: Progress, after: Progress) -> None:
    if before != after:
        await stored.write_progress(connection, provider, after)
