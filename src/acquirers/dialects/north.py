"""Dialect north: JSON, bearer key, integer minor units, the provider key in a header."""

import json
from collections.abc import Mapping
from typing import Final

from aiohttp import web

from acquirers.errors import InstructionInvalid
from acquirers.http_requests import INTEGER_MAX, Secret, read_json_object, read_query_integer
from acquirers.money import read_currency, read_minor
from acquirers.operation_service import OperationService
from acquirers.operations import Entry, Instruction, Kind, Status, read_card_token, read_label
from acquirers.refusals import refusal_response
from acquirers.reports import LISTED_MAX, Reports
from acquirers.settlement import Line, Period, Report, Totals, write_instant

# The field with the reference of the operation before.
_PARENTS: Final = {Kind.CAPTURE: "authorization", Kind.VOID: "authorization", Kind.REFUND: "capture"}
_OTHERS: Final = {Kind.AUTHORIZE: "card_token", Kind.PAYOUT: "beneficiary"}
_PATHS: Final = {
    "authorizations": Kind.AUTHORIZE,
    "captures": Kind.CAPTURE,
    "refunds": Kind.REFUND,
    "voids": Kind.VOID,
    "payouts": Kind.PAYOUT,
}


class North:
    """The endpoints under /v1."""

    def __init__(self, service: OperationService, reports: Reports, api_key: Secret) -> None:
        self._service = service
        self._reports = reports
        self._api_key = api_key

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.post(f"/v1/{{kind:{'|'.join(_PATHS)}}}", self._perform),
            web.get("/v1/operations/{key}", self._query),
            web.get("/v1/settlement-reports", self._list_reports),
            web.get("/v1/settlement-reports/{sequence:[0-9]{1,15}}", self._report),
        ]

    async def _perform(self, request: web.Request) -> web.StreamResponse:
        kind = _PATHS[request.match_info["kind"]]
        self._api_key.require_bearer(request)
        key = read_label("header Idempotency-Key", request.headers.get("Idempotency-Key"))
        instruction = _read_instruction(kind, key, await read_json_object(request))
        return await self._service.perform(request, instruction, _render)

    async def _query(self, request: web.Request) -> web.StreamResponse:
        self._api_key.require_bearer(request)
        return await self._service.look_up(request, request.match_info["key"], _render_query)

    async def _list_reports(self, request: web.Request) -> web.Response:
        self._api_key.require_bearer(request)
        after = read_query_integer(request, "after", 0, 0, INTEGER_MAX)
        limit = read_query_integer(request, "limit", LISTED_MAX, 1, LISTED_MAX)
        with self._service.slot():
            listed = await self._reports.listing(after, limit, render_report)
        reports = [
            {**_describe_period(one.period), "due": write_instant(one.period.due), "digest": one.digest}
            for one in listed
        ]
        return web.json_response({"reports": reports})

    async def _report(self, request: web.Request) -> web.Response:
        self._api_key.require_bearer(request)
        with self._service.slot():
            body = await self._reports.fetch(int(request.match_info["sequence"]), render_report)
        return web.Response(body=body, content_type="application/json", charset="utf-8")


def _read_instruction(kind: Kind, key: str, body: Mapping[str, object]) -> Instruction:
    name = _PARENTS.get(kind)
    wanted = ("reference", "amount", "currency", name or _OTHERS[kind])
    missing = [field for field in wanted if field not in body]
    if missing:
        raise InstructionInvalid(f"{missing[0]}: is missing")
    return Instruction(
        key=key,
        kind=kind,
        reference=read_label("reference", body["reference"]),
        amount_minor=read_minor(body["amount"]),
        currency=read_currency(body["currency"]),
        card_token=read_card_token("card_token", body["card_token"]) if kind is Kind.AUTHORIZE else "",
        parent=read_label(name, body[name]) if name is not None else "",
        beneficiary=read_label("beneficiary", body["beneficiary"]) if kind is Kind.PAYOUT else "",
    )


def _render(entry: Entry) -> web.Response:
    if entry.status is Status.REFUSED:
        return refusal_response(entry)
    body: dict[str, str | None] = {"id": entry.provider_reference, "status": entry.status}
    if entry.kind is Kind.AUTHORIZE:
        body["decline_code"] = entry.reason
    return web.json_response(body, status=201)


def _render_query(entry: Entry) -> web.Response:
    return web.json_response(
        {
            "key": entry.key,
            "kind": entry.kind,
            "status": entry.status,
            "id": entry.provider_reference,
            "decline_code": entry.reason if entry.kind is Kind.AUTHORIZE else None,
        }
    )


def render_report(report: Report) -> bytes:
    """Return the JSON body of a settlement report."""
    body = {
        **_describe_period(report.period),
        "lines": [_describe_line(line) for line in report.lines],
        "totals": {
            currency: {
                "lines": totals.lines,
                "captured": totals.captured_minor,
                "refunded": totals.refunded_minor,
                "fees": totals.fees_minor,
                **_describe_chargebacks(totals),
            }
            for currency, totals in report.totals()
        },
    }
    return json.dumps(body, separators=(",", ":")).encode()


def _describe_period(period: Period) -> dict[str, int | str]:
    return {
        "sequence": period.sequence,
        "from": write_instant(period.start),
        "to": write_instant(period.end),
    }


def _describe_chargebacks(totals: Totals) -> dict[str, int]:
    if not totals.has_chargebacks:
        return {}
    return {"charged_back": totals.charged_back_minor, "reversed": totals.reversed_minor}


def _describe_line(line: Line) -> dict[str, int | str]:
    settled: dict[str, int | str] = {}
    if line.settled is not None:
        settled["settled_currency"], settled["settled_amount"] = line.settled
    return {
        "key": line.key,
        "reference": line.reference,
        "id": line.id,
        "kind": line.kind,
        "amount": line.amount_minor,
        "currency": line.currency,
        "fee": line.fee_minor,
        "at": write_instant(line.at),
        **settled,
    }
