"""Ask a simulated provider which settlement reports it has served, when, and what they take."""

import asyncio
from collections.abc import Mapping

import aiohttp

from moneypath.bounded_http import AnswerTooLarge, read_bounded
from moneypath.oracle.errors import FieldInvalid, ReportsUnreadable
from moneypath.oracle.fields import Row, parse_object, read_instant, read_integer, read_text
from moneypath.oracle.records import ReportTaken

_BYTES_MAX = 16 * 1024 * 1024
_ANSWER_SECONDS = 30.0


async def read_reports_taken(url: str, token: str) -> tuple[ReportTaken, ...]:
    """Return what the provider at `url` has served lately, oldest first; raises ReportsUnreadable."""
    endpoint = f"{url.rstrip('/')}/truth/reports"
    headers = {"Authorization": f"Bearer {token}"}
    try:
        async with asyncio.timeout(_ANSWER_SECONDS), aiohttp.ClientSession(headers=headers) as session:
            return _read(await _fetch(session, endpoint))
    except (aiohttp.ClientError, TimeoutError, AnswerTooLarge, FieldInvalid) as error:
        raise ReportsUnreadable(
            f"{endpoint}: no list of served reports: {type(error).__name__}: {error}",
            hint="Check that the provider runs and answers, then audit again.",
        ) from None


async def _fetch(session: aiohttp.ClientSession, endpoint: str) -> Row:
    async with session.get(endpoint, allow_redirects=False) as answer:
        if answer.status != 200:
            raise FieldInvalid(f"answered {answer.status}, needed: 200")
        return parse_object(await read_bounded(answer, _BYTES_MAX))


def _read(content: Row) -> tuple[ReportTaken, ...]:
    provider, rows = read_text(content, "provider"), content.get("served")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise FieldInvalid("served: must be a list of objects")
    forgotten = read_integer(content, "forgotten")
    if forgotten:
        raise FieldInvalid(f"the provider has forgotten {forgotten} reports that it served")
    return tuple(_read_report(provider, row) for row in rows)


def _read_report(provider: str, row: Row) -> ReportTaken:
    whole = row.get("fees_minor") is not None
    return ReportTaken(
        provider,
        read_integer(row, "sequence"),
        read_instant(row, "at"),
        _read_money(row, "fees_minor") if whole else (),
        _read_money(row, "exchanged_minor") if whole else (),
        whole,
    )


def _read_money(row: Row, key: str) -> tuple[tuple[str, int], ...]:
    amounts = row.get(key)
    if not isinstance(amounts, Mapping) or not all(type(minor) is int for minor in amounts.values()):
        raise FieldInvalid(f"{key}: must have an integer for each currency")
    return tuple(amounts.items())
