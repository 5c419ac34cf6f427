"""Takes one announced report in: fetched, checked, and applied whole in one transaction, or not at all."""

import asyncio
import hashlib
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import structlog

from refpay.clock import Clock
from refpay.db.pool import Database
from refpay.ledger.repository import post
from refpay.providers.report_source import ReportSource
from refpay.providers.reports import Report, ReportInvalid, ReportNotice, ReportReplayed
from refpay.reconciliation import reports_repository as stored
from refpay.reconciliation.comparing import Comparison, RowCount, Rules
from refpay.reconciliation.hearing import Hearing
from refpay.reconciliation.model import ReportState
from refpay.reconciliation.report_entries import report_entries
from refpay.reconciliation.reports_repository import KnownReport

_LOG: Final = structlog.get_logger()
# Their clock may round an instant that lies at a border of the period.
_BORDER: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of one report; `result` is absent if nothing is new about it."""

    result: ReportState | None
    rows: RowCount


NOTHING_NEW: Final = Taken(None, RowCount())


class Intake:
    """Takes reports of one provider in."""

    def __init__(
        self, database: Database, source: ReportSource, *, rules: Rules, clock: Clock, hearing: Hearing
    ) -> None:
        self._database = database
        self._source = source
        self._rules = rules
        self._clock = clock
        self._hearing = hearing

    async def take(self, notice: ReportNotice, known: KnownReport | None, *, overdue: bool) -> Taken:
        """Take in what is announced, unless its revision in force was announced just so.

        `overdue` says that the report was looked for in vain after it was due. Raises ProviderError and
        DatabaseUnavailable, both before anything was changed.
        """
        if known is not None and known.digest == notice.digest:
            if known.state in (ReportState.ACCEPTED, ReportState.LATE):
                return NOTHING_NEW
            await self._restore(notice, known)
            return NOTHING_NEW
        try:
            report, digest = await self._fetch(notice)
            # First of all, so that nothing shows as a break that is only news; again, if we die after it.
            await self._hearing.hear(report.lines)
            return await self._apply(notice, report, digest, overdue=overdue)
        except ReportInvalid as problem:
            return await self._refuse(notice, problem)

    async def _fetch(self, notice: ReportNotice) -> tuple[Report, str]:
        body = await self._source.fetch(notice.sequence)
        digest = hashlib.sha256(body).hexdigest()
        if digest != notice.digest and digest != await self._digest_now(notice.sequence):
            raise ReportInvalid("the content is not what its digest announced")
        # Up to 20 MB: parsed beside the loop, which has other duties.
        report = await asyncio.to_thread(self._source.read, body)
        if report.sequence != notice.sequence:
            raise ReportReplayed(f"served under {notice.sequence}, and says that it is {report.sequence}")
        if (report.start, report.end) != (notice.start, notice.end):
            raise ReportInvalid("the report's period is not the announced one")
        _require_period(notice, report)
        return report, digest

    async def _digest_now(self, sequence: int) -> str | None:
        """Return what is announced by now: the report may have been corrected since it was listed."""
        notices = await self._source.notices(after=sequence - 1, limit=1)
        return notices[0].digest if notices and notices[0].sequence == sequence else None

    async def _apply(self, notice: ReportNotice, report: Report, digest: str, *, overdue: bool) -> Taken:
        now = self._clock.now()
        provider = self._source.name
        async with self._database.transaction() as connection:
            progress = await stored.read_progress(connection, provider, lock=True)
            other = await stored.find_elsewhere(connection, provider, report)
            if other is not None:
                raise ReportReplayed(f"served under {notice.sequence}, and report {other} has the same lines")
            known = (await stored.read_known(connection, provider, [notice.sequence])).get(notice.sequence)
            before = 0 if known is None else known.revision
            state = _judge_lateness(notice, known, overdue=overdue, now=now)
            booked = await stored.read_lines(connection, provider, notice.sequence, before)
            keys = {line.key for line in (*report.lines, *booked)}
            same = before > 0 and digest == await stored.read_revision_digest(
                connection, provider, notice.sequence, before
            )
            revision = before if same else before + 1
            taken = KnownReport.announced(notice, state, revision, digest)
            await stored.write_report(connection, provider, taken, now=now)
            if not same:
                await stored.insert_revision(
                    connection, provider, report, revision=revision, digest=digest, now=now
                )
                await post(connection, *report_entries(provider, report, booked, revision=revision, now=now))
            comparison = Comparison(connection, provider, self._rules, now, progress.horizon)
            rows = await comparison.compare(keys, fresh=None if same else notice.sequence)
        if same:
            return Taken(None, rows)
        _LOG.info(
            "settlement_report_taken",
            provider=provider,
            sequence=notice.sequence,
            revision=revision,
            state=state.value,
            rows=len(report.lines),
        )
        return Taken(state, rows)

    async def _refuse(self, notice: ReportNotice, problem: ReportInvalid) -> Taken:
        """Note that a report cannot be used."""
        now = self._clock.now()
        provider = self._source.name
        state = ReportState.REPLAYED if isinstance(problem, ReportReplayed) else ReportState.INVALID
        async with self._database.transaction() as connection:
            await stored.read_progress(connection, provider, lock=True)
            known = (await stored.read_known(connection, provider, [notice.sequence])).get(notice.sequence)
            if known is not None and (known.state, known.refused_digest) == (state, notice.digest):
                return NOTHING_NEW
            # What was accepted of it before stays in force, and so does its period.
            before = known if known and known.revision else KnownReport.announced(notice, state, 0, None)
            refused = replace(before, state=state, refused_digest=notice.digest)
            await stored.write_report(connection, provider, refused, problem=problem.detail, now=now)
        _LOG.warning(
            "settlement_report_refused",
            provider=provider,
            sequence=notice.sequence,
            state=state.value,
            problem=problem.detail,
        )
        return Taken(state, RowCount())

    async def _restore(self, notice: ReportNotice, known: KnownReport) -> None:
        """Note that what is in force is served again."""
        async with self._database.transaction() as connection:
            provider = self._source.name
            await stored.read_progress(connection, provider, lock=True)
            again = KnownReport.announced(notice, ReportState.ACCEPTED, known.revision, known.digest)
            await stored.write_report(connection, provider, again, now=self._clock.now())


def _require_period(notice: ReportNotice, report: Report) -> None:
    first, last = notice.start - _BORDER, notice.end + _BORDER
    if not all(first <= line.at <= last for line in report.lines):
        raise ReportInvalid("a line lies outside the report's period")


def _judge_lateness(
    notice: ReportNotice, known: KnownReport | None, *, overdue: bool, now: datetime
) -> ReportState:
    """Return LATE for a report that could first be used after it was due, though we asked in time."""
    if known is not None and known.revision:
        return ReportState.ACCEPTED
    refused_until_now = known is not None and now > notice.due
    return ReportState.LATE if overdue or refused_until_now else ReportState.ACCEPTED
