"""Dialect south: form-encoded, key in X-Api-Key, decimal major units, numeric reasons, reports as CSV."""

import csv
import io
from collections.abc import Mapping
from typing import Final

from aiohttp import web

from acquirers.errors import InstructionInvalid, Unauthorized
from acquirers.http_requests import INTEGER_MAX, Secret, read_form, read_query_integer
from acquirers.money import read_currency, read_major, write_major
from acquirers.operation_service import OperationService
from acquirers.operations import DeclineCode, Entry, Instruction, Kind, Status, read_card_token, read_label
from acquirers.refusals import refusal_response
from acquirers.reports import LISTED_MAX, Published, Reports
from acquirers.settlement import Report, write_instant

_PARENTS: Final = {Kind.CAPTURE: "authCode", Kind.VOID: "authCode", Kind.REFUND: "settlementId"}
_OTHERS: Final = {Kind.AUTHORIZE: "cardToken", Kind.PAYOUT: "payee"}
_PATHS: Final = {
    "authorise": Kind.AUTHORIZE,
    "settle": Kind.CAPTURE,
    "refund": Kind.REFUND,
    "cancel": Kind.VOID,
    "payout": Kind.PAYOUT,
}
_IDS: Final = {
    Kind.AUTHORIZE: "authCode",
    Kind.CAPTURE: "settlementId",
    Kind.REFUND: "refundId",
    Kind.VOID: "cancelId",
    Kind.PAYOUT: "payoutId",
}
_STATES: Final = {
    Status.APPROVED: "AUTHORISED",
    Status.DECLINED: "REFUSED",
    Status.CAPTURED: "SETTLED",
    Status.REFUNDED: "REFUNDED",
    Status.VOIDED: "CANCELLED",
    Status.PAID: "PAID",
    Status.REFUSED: "REFUSED",
}
_LETTERS: Final = {
    Kind.CAPTURE: "S",
    Kind.REFUND: "R",
    Kind.CHARGEBACK: "B",
    Kind.CHARGEBACK_REVERSAL: "W",
}
# ISO 8583 response codes.
_REASONS: Final[Mapping[str, str]] = {
    DeclineCode.INSUFFICIENT_FUNDS: "51",
    DeclineCode.DO_NOT_HONOR: "05",
    DeclineCode.SUSPECTED_FRAUD: "59",
    DeclineCode.ISSUER_UNAVAILABLE: "91",
}


class South:
    """The endpoints under /gateway."""

    def __init__(self, service: OperationService, reports: Reports, api_key: Secret) -> None:
        self._service = service
        self._reports = reports
        self._api_key = api_key

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.post(f"/gateway/{{kind:{'|'.join(_PATHS)}}}", self._perform),
            web.get("/gateway/transactions/{key}", self._query),
            web.get("/gateway/settlement-files", self._list_files),
            web.get("/gateway/settlement-files/{number:[0-9]{1,15}}", self._file),
        ]

    async def _perform(self, request: web.Request) -> web.StreamResponse:
        self._require_key(request)
        instruction = _read_instruction(_PATHS[request.match_info["kind"]], await read_form(request))
        return await self._service.perform(request, instruction, _render)

    async def _query(self, request: web.Request) -> web.StreamResponse:
        self._require_key(request)
        return await self._service.look_up(request, request.match_info["key"], _render_query)

    async def _list_files(self, request: web.Request) -> web.Response:
        self._require_key(request)
        after = read_query_integer(request, "after", 0, 0, INTEGER_MAX)
        limit = read_query_integer(request, "limit", LISTED_MAX, 1, LISTED_MAX)
        with self._service.slot():
            listed = await self._reports.listing(after, limit, render_file)
        return web.json_response({"files": [_describe_file(file) for file in listed]})

    async def _file(self, request: web.Request) -> web.Response:
        self._require_key(request)
        with self._service.slot():
            body = await self._reports.fetch(int(request.match_info["number"]), render_file)
        return web.Response(body=body, content_type="text/csv", charset="utf-8")

    def _require_key(self, request: web.Request) -> None:
        if not self._api_key.matches(request.headers.get("X-Api-Key", "")):
            raise Unauthorized("header X-Api-Key: must be the right key")


def _read_instruction(kind: Kind, form: Mapping[str, str]) -> Instruction:
    name = _PARENTS.get(kind)
    wanted = ("transactionRef", "orderRef", "amount", "currency", name or _OTHERS[kind])
    missing = [field for field in wanted if field not in form]
    if missing:
        raise InstructionInvalid(f"{missing[0]}: is missing")
    currency = read_currency(form["currency"])
    return Instruction(
        key=read_label("transactionRef", form["transactionRef"]),
        kind=kind,
        reference=read_label("orderRef", form["orderRef"]),
        amount_minor=read_major(form["amount"], currency),
        currency=currency,
        card_token=read_card_token("cardToken", form["cardToken"]) if kind is Kind.AUTHORIZE else "",
        parent=read_label(name, form[name]) if name is not None else "",
        beneficiary=read_label("payee", form["payee"]) if kind is Kind.PAYOUT else "",
    )


def _describe(entry: Entry) -> dict[str, str | None]:
    moved = entry.status not in (Status.DECLINED, Status.REFUSED)
    described: dict[str, str | None] = {_IDS[entry.kind]: entry.provider_reference if moved else None}
    if entry.kind is Kind.AUTHORIZE:
        described["reason"] = None if entry.reason is None else _REASONS[entry.reason]
    return described


def _render(entry: Entry) -> web.Response:
    if entry.status is Status.REFUSED:
        return refusal_response(entry)
    return web.json_response({"result": _STATES[entry.status], **_describe(entry)})


def _render_query(entry: Entry) -> web.Response:
    return web.json_response(
        {"kind": entry.kind, "state": _STATES[entry.status], "reason": entry.reason, **_describe(entry)}
    )


def _describe_file(file: Published) -> dict[str, int | str]:
    period = file.period
    return {
        "number": period.sequence,
        "from": write_instant(period.start),
        "to": write_instant(period.end),
        "due": write_instant(period.due),
        "sha256": file.digest,
    }


def render_file(report: Report) -> bytes:
    """Return a settlement file: a header, one D row per line, one C row per currency, and a trailer.

    A currency with chargebacks also has a B row. A D row has two more fields if it is settled in another
    currency.
    """
    period, file = report.period, io.StringIO()
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(("H", period.sequence, write_instant(period.start), write_instant(period.end)))
    for line in report.lines:
        amount, fee = (write_major(minor, line.currency) for minor in (line.amount_minor, line.fee_minor))
        settled = (
            () if line.settled is None else (line.settled[0], write_major(line.settled[1], line.settled[0]))
        )
        rows.writerow(
            ("D", line.key, line.reference, line.id, _LETTERS[line.kind], amount, line.currency, fee,
             write_instant(line.at), *settled)
        )  # fmt: skip
    for currency, totals in report.totals():
        amounts = (totals.captured_minor, totals.refunded_minor, totals.fees_minor)
        rows.writerow(("C", currency, totals.lines, *(write_major(minor, currency) for minor in amounts)))
    for currency, totals in report.totals():
        if totals.has_chargebacks:
            sums = (totals.charged_back_minor, totals.reversed_minor)
            rows.writerow(("B", currency, *(write_major(minor, currency) for minor in sums)))
    rows.writerow(("T", len(report.lines)))
    return file.getvalue().encode()
