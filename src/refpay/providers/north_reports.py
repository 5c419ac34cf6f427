"""Settlement reports of dialect north: JSON, integer minor units."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from refpay.providers import report_parts as parts
from refpay.providers.reports import MovementKind, Report, ReportInvalid, ReportLine, ReportNotice

_PATH = "/v1/settlement-reports"


class NorthReports:
    """Reads the reports of acquirers of dialect north."""

    def __init__(self, name: str, access: parts.ReportAccess) -> None:
        self.name = name
        self._access = access

    async def notices(self, *, after: int, limit: int) -> Sequence[ReportNotice]:
        """Return what is announced."""
        found = await self._access.listing(f"{_PATH}?after={after}&limit={limit}", "reports")
        return parts.read_notices(found, after=after, limit=limit, sequence="sequence", digest="digest")

    async def fetch(self, sequence: int) -> bytes:
        """Return a report as it is served."""
        return await self._access.report(f"{_PATH}/{sequence}")

    def read(self, body: bytes) -> Report:
        """Return what a served report says."""
        try:
            content = json.loads(body)
            report = Report(
                sequence=parts.read_count(content["sequence"]),
                start=parts.read_instant(content["from"]),
                end=parts.read_instant(content["to"]),
                lines=[_read_line(line) for line in content["lines"]],
            )
            totals = {
                parts.read_currency(code): _read_totals(sums) for code, sums in content["totals"].items()
            }
        except (ValueError, RecursionError) as problem:
            raise ReportInvalid("the report is not JSON") from problem
        except (TypeError, KeyError, AttributeError) as problem:
            raise ReportInvalid("the report lacks what was agreed on") from problem
        parts.require_totals(report.lines, totals)
        return report


def _read_line(line: Mapping[str, Any]) -> ReportLine:
    return ReportLine(
        key=parts.read_label(line["key"], "key"),
        movement=parts.read_label(line["id"], "id"),
        reference=parts.read_label(line["reference"], "reference"),
        kind=_read_kind(line["kind"]),
        amount_minor=parts.read_count(line["amount"], least=1),
        currency=parts.read_currency(line["currency"]),
        fee_minor=parts.read_count(line["fee"]),
        at=parts.read_instant(line["at"]),
    )


def _read_kind(value: object) -> MovementKind:
    if not isinstance(value, str) or value not in list(MovementKind):
        raise ReportInvalid("a line has a kind that was not agreed on")
    return MovementKind(value)


def _read_totals(sums: Mapping[str, Any]) -> parts.Totals:
    return parts.Totals(
        lines=parts.read_count(sums["lines"]),
        captured_minor=_read_sum(sums["captured"]),
        refunded_minor=_read_sum(sums["refunded"]),
        fees_minor=_read_sum(sums["fees"]),
        charged_back_minor=_read_sum(sums.get("charged_back", 0)),
        reversed_minor=_read_sum(sums.get("reversed", 0)),
    )


def _read_sum(value: object) -> int:
    """Return a sum, which may pass 2^63 though no amount does."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ReportInvalid("a control total is not a whole number")
    return value
