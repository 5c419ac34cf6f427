"""What both dialects share: bounded transfers, strict values, control totals."""

import asyncio
import itertools
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import aiohttp

from refpay.money import MAXIMUM_MINOR, Currency
from refpay.providers.errors import ProviderRefused, ProviderSilent
from refpay.providers.reports import (
    REPORT_MAXIMUM_BYTES,
    MovementKind,
    ReportInvalid,
    ReportLine,
    ReportNotice,
)

_LISTING_MAXIMUM_BYTES: Final = 256 * 1024
_CHUNK_BYTES: Final = 64 * 1024
_LABEL: Final = re.compile(r"[!-~]{1,128}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class ReportAccess:
    """How to ask one provider: the time-outs are of one whole exchange."""

    session: aiohttp.ClientSession
    url: str
    headers: Mapping[str, str]
    listing_seconds: float
    report_seconds: float

    async def listing(self, path: str, key: str) -> Sequence[Any]:
        """Return the list under `key` of a JSON answer; raises ProviderError."""
        try:
            body = await self._get(path, _LISTING_MAXIMUM_BYTES, self.listing_seconds)
            content = json.loads(body)
        except (ReportInvalid, ValueError, RecursionError) as problem:
            raise ProviderSilent("provider's list of settlement reports cannot be read") from problem
        found = content.get(key) if isinstance(content, dict) else None
        if not isinstance(found, list):
            raise ProviderSilent(f"provider's list of settlement reports lacks {key}")
        return found

    async def report(self, path: str) -> bytes:
        """Return a report's bytes; raises ProviderError, or ReportInvalid if it is too large or cut off."""
        return await self._get(path, REPORT_MAXIMUM_BYTES, self.report_seconds)

    async def _get(self, path: str, most_bytes: int, seconds: float) -> bytes:
        chunks: list[bytes] = []
        size = 0
        try:
            async with (
                asyncio.timeout(seconds),
                self.session.get(self.url + path, headers=self.headers, allow_redirects=False) as response,
            ):
                if response.status != 200:
                    raise ProviderRefused(f"provider answered {response.status} to a question about reports")
                async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
                    size += len(chunk)
                    if size > most_bytes:
                        raise ReportInvalid(f"more than {most_bytes} bytes")
                    chunks.append(chunk)
        except TimeoutError as problem:
            raise ProviderSilent(f"no whole answer about reports within {seconds:g} s") from problem
        except aiohttp.ClientPayloadError as problem:
            raise ReportInvalid("the transfer ended before the report did") from problem
        except (aiohttp.ClientError, OSError) as problem:
            raise ProviderSilent(
                f"provider cannot be asked for reports: {type(problem).__name__}"
            ) from problem
        return b"".join(chunks)


def read_notices(
    found: Sequence[Any], *, after: int, limit: int, sequence: str, digest: str
) -> Sequence[ReportNotice]:
    """Return announcements, checked; raises ProviderSilent, for then the whole list cannot be trusted."""
    try:
        notices = [
            ReportNotice(
                sequence=read_count(entry[sequence]),
                start=read_instant(entry["from"]),
                end=read_instant(entry["to"]),
                due=read_instant(entry["due"]),
                digest=_match(_DIGEST, entry[digest], "digest"),
            )
            for entry in found
        ]
    except (ReportInvalid, TypeError, KeyError) as problem:
        raise ProviderSilent("provider's list of settlement reports is not as agreed") from problem
    numbers = [after, *(notice.sequence for notice in notices)]
    ascending = all(one < next_one for one, next_one in itertools.pairwise(numbers))
    if len(notices) > limit or not ascending or any(one.start >= one.end for one in notices):
        raise ProviderSilent("provider's list of settlement reports is out of order")
    return notices


@dataclass(frozen=True, slots=True)
class Totals:
    """Control totals of one currency, in minor units; a report without chargebacks need not state theirs."""

    lines: int = 0
    captured_minor: int = 0
    refunded_minor: int = 0
    fees_minor: int = 0
    charged_back_minor: int = 0
    reversed_minor: int = 0


def require_totals(lines: Iterable[ReportLine], stated: Mapping[Currency, Totals]) -> None:
    """Raise ReportInvalid unless the lines add up to what the report states of them."""
    sums: Counter[tuple[Currency, MovementKind]] = Counter()
    counts, fees = Counter[Currency](), Counter[Currency]()
    for line in lines:
        sums[line.currency, line.kind] += line.amount_minor
        counts[line.currency] += 1
        fees[line.currency] += line.fee_minor
    # A currency that is stated and has no line states zeros.
    for currency in {*counts, *stated}:
        found = Totals(
            counts[currency],
            sums[currency, MovementKind.CAPTURE],
            sums[currency, MovementKind.REFUND],
            fees[currency],
            sums[currency, MovementKind.CHARGEBACK],
            sums[currency, MovementKind.CHARGEBACK_REVERSAL],
        )
        if found != stated.get(currency):
            raise ReportInvalid(f"control totals differ from the lines: {currency}")


def read_label(value: object, what: str) -> str:
    """Return 1 to 128 visible ASCII characters; raises ReportInvalid."""
    return _match(_LABEL, value, what)


def read_count(value: object, *, least: int = 0) -> int:
    """Return an integer from `least` to 2^63 - 1; raises ReportInvalid."""
    # bool is an int in Python: `true` must not become one cent.
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= MAXIMUM_MINOR:
        raise ReportInvalid(f"a number is none from {least} to {MAXIMUM_MINOR}")
    return value


def read_digits(text: str) -> int:
    """Return a whole number given as text; raises ReportInvalid."""
    if not (text.isascii() and text.isdigit() and len(text) <= 19):
        raise ReportInvalid("a number is not a whole one")
    return read_count(int(text))


def read_currency(value: object) -> Currency:
    """Return a currency that we move; raises ReportInvalid."""
    if not isinstance(value, str) or value not in list(Currency):
        raise ReportInvalid("a currency is none of ours")
    return Currency(value)


def read_instant(value: object) -> datetime:
    """Return an ISO 8601 instant with its zone as UTC; raises ReportInvalid."""
    try:
        instant = datetime.fromisoformat(value) if isinstance(value, str) and len(value) <= 40 else None
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        raise ReportInvalid("an instant is not ISO 8601 with a zone")
    return instant.astimezone(UTC)


def _match(pattern: re.Pattern[str], value: object, what: str) -> str:
    if not isinstance(value, str) or pattern.fullmatch(value) is None:
        raise ReportInvalid(f"{what} is not of the agreed form")
    return value
