"""What the reports of both dialects share: bounded transfers, validation, control totals."""

import asyncio
import itertools
import json
from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Any, ClassVar, Final

import aiohttp
from pydantic import AliasChoices, BeforeValidator, FailFast, Field, TypeAdapter, ValidationError

from refpay.money import Currency
from refpay.providers.errors import ProviderOutcomeUnknown, ProviderRefused
from refpay.providers.http import Credential, credential_header
from refpay.providers.reports import (
    Count,
    MovementKind,
    ReportAnnouncement,
    ReportInvalid,
    ReportLine,
    SettlementReport,
)
from refpay.settings import ProviderSettings

_LISTING_MAXIMUM_BYTES: Final = 256 * 1024
_REPORT_MAXIMUM_BYTES: Final = 20_000_000
_CHUNK_BYTES: Final = 64 * 1024
_SUMS: Final = {
    MovementKind.CAPTURE: "captured",
    MovementKind.REFUND: "refunded",
    MovementKind.CHARGEBACK: "charged_back",
    MovementKind.CHARGEBACK_REVERSAL: "reversed",
}
# A sum may pass 2^63 though no amount does.
_Sum = Annotated[int, Field(strict=True, ge=0)]
_NOTICES: Final = Field(validation_alias=AliasChoices("reports", "files"))


@dataclass(frozen=True, slots=True)
class _Totals:
    """Control totals of one currency, in minor units. A report without chargebacks may leave theirs out."""

    lines: Count
    captured: _Sum
    refunded: _Sum
    fees: _Sum
    charged_back: _Sum = 0
    reversed: _Sum = 0


def _require_few(totals: object) -> object:
    if isinstance(totals, dict) and len(totals) > len(Currency):
        raise ValueError("more currencies than are ours")
    return totals


@dataclass(frozen=True, slots=True)
class _Stated(SettlementReport):
    """A report as the provider states it. This is also the JSON of dialect north."""

    # Stop at the first wrong line: collecting the errors of all would take gigabytes.
    lines: Annotated[list[ReportLine], FailFast()]
    totals: Annotated[Mapping[Currency, _Totals], BeforeValidator(_require_few)]


@dataclass(frozen=True, slots=True)
class _Listing:
    # Stop at the first wrong notice, for the same reason.
    notices: Annotated[list[ReportAnnouncement], FailFast(), _NOTICES]


_STATED: Final = TypeAdapter(_Stated)
_LISTING: Final = TypeAdapter(_Listing)


def read_report(body: bytes | Mapping[str, Any]) -> SettlementReport:
    """Return a report from its JSON bytes or the parsed object. Raises ReportInvalid."""
    try:
        # Not pydantic's own parser, which needs six times the memory for unknown fields.
        report = _STATED.validate_python(json.loads(body) if isinstance(body, bytes) else body)
    except ValidationError as problem:
        first = problem.errors(include_url=False, include_input=False)[0]
        path = first["loc"] or ("content",)
        # The whole path for lines, else only the first key: the rest may contain the provider's words.
        place = ".".join(map(str, path if path[0] == "lines" else path[:1]))
        raise ReportInvalid(f"the report is not as agreed: {place}: {first['msg']}") from problem
    except (ValueError, RecursionError) as problem:
        raise ReportInvalid("the report is not JSON") from problem
    _require_totals(report)
    return report


def _require_totals(report: _Stated) -> None:
    """Raise ReportInvalid unless the lines add up to the stated totals."""
    sums: defaultdict[Currency, Counter[str]] = defaultdict(Counter)
    for line in report.lines:
        found = sums[line.currency]
        found["lines"] += 1
        found["fees"] += line.fee_minor
        found[_SUMS[line.kind]] += line.amount_minor
    # A currency without lines must state zeros.
    for currency in {*sums, *report.totals}:
        added_up = _Totals(*(sums[currency][one.name] for one in fields(_Totals)))
        if added_up != report.totals.get(currency):
            raise ReportInvalid(f"control totals differ from the lines: {currency}")


class ReportSource(ABC):
    """Fetches a provider's settlement reports. A time-out covers one whole request."""

    path: ClassVar[str]
    credential: ClassVar[Credential]

    def __init__(
        self, session: aiohttp.ClientSession, settings: ProviderSettings, *, report_seconds: float
    ) -> None:
        self._session = session
        self._url = settings.url
        self._headers = credential_header(self.credential, settings)
        self._listing_seconds = settings.timeout_seconds
        self._report_seconds = report_seconds
        self.name = settings.name

    @staticmethod
    @abstractmethod
    def read(body: bytes) -> SettlementReport:
        """Return the report in a served body. Raises ReportInvalid if it is wrong in itself."""

    async def notices(self, *, after: int, limit: int) -> Sequence[ReportAnnouncement]:
        """Return the announced reports with a sequence over `after`, ascending, at most `limit`.

        Raises ProviderError if the provider does not answer as agreed.
        """
        question = f"{self.path}?after={after}&limit={limit}"
        try:
            body = await self._get(question, _LISTING_MAXIMUM_BYTES, self._listing_seconds)
            notices = _LISTING.validate_json(body, strict=True).notices
        except (ReportInvalid, ValidationError) as problem:
            raise ProviderOutcomeUnknown(
                "provider's list of settlement reports is not as agreed"
            ) from problem
        numbers = [after, *(notice.sequence for notice in notices)]
        ascending = all(one < next_one for one, next_one in itertools.pairwise(numbers))
        if len(notices) > limit or not ascending or any(one.start >= one.end for one in notices):
            raise ProviderOutcomeUnknown("provider's list of settlement reports is out of order")
        return notices

    async def fetch(self, sequence: int) -> bytes:
        """Return the bytes of a report as it is served.

        Raises ProviderError, or ReportInvalid if it is too large or cut off.
        """
        return await self._get(f"{self.path}/{sequence}", _REPORT_MAXIMUM_BYTES, self._report_seconds)

    async def _get(self, path: str, most_bytes: int, seconds: float) -> bytes:
        body = bytearray()
        try:
            async with (
                asyncio.timeout(seconds),
                self._session.get(self._url + path, headers=self._headers, allow_redirects=False) as response,
            ):
                if response.status != 200:
                    raise ProviderRefused(f"provider answered {response.status} to a question about reports")
                async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
                    body += chunk
                    if len(body) > most_bytes:
                        raise ReportInvalid(f"more than {most_bytes} bytes")
        except TimeoutError as problem:
            raise ProviderOutcomeUnknown(f"no whole answer about reports within {seconds:g} s") from problem
        except aiohttp.ClientPayloadError as problem:
            raise ReportInvalid("the transfer ended before the report did") from problem
        except (aiohttp.ClientError, OSError) as problem:
            raise ProviderOutcomeUnknown(
                f"provider cannot be asked for reports: {type(problem).__name__}"
            ) from problem
        return bytes(body)
