"""Dialect south: form-encoded, key in X-Api-Key, decimal major units, numeric reasons."""

from collections.abc import Mapping
from typing import Final

from aiohttp import web

from acquirers.desk import Desk
from acquirers.edge import Secret, read_form
from acquirers.errors import InstructionInvalid, Unauthorized
from acquirers.money import read_currency, read_major
from acquirers.operations import DeclineCode, Entry, Instruction, Kind, Status, read_card_token, read_label
from acquirers.refusals import refusal_response

_PARENTS: Final = {Kind.CAPTURE: "authCode", Kind.REFUND: "settlementId"}
_IDS: Final = {Kind.AUTHORIZE: "authCode", Kind.CAPTURE: "settlementId", Kind.REFUND: "refundId"}
_STATES: Final = {
    Status.APPROVED: "AUTHORISED",
    Status.DECLINED: "REFUSED",
    Status.CAPTURED: "SETTLED",
    Status.REFUNDED: "REFUNDED",
    Status.REFUSED: "REFUSED",
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

    def __init__(self, desk: Desk, api_key: Secret) -> None:
        self._desk = desk
        self._api_key = api_key

    def routes(self) -> list[web.RouteDef]:
        """Return what this dialect serves."""
        return [
            web.post("/gateway/authorise", self._authorise),
            web.post("/gateway/settle", self._settle),
            web.post("/gateway/refund", self._refund),
            web.get("/gateway/transactions/{key}", self._query),
        ]

    async def _authorise(self, request: web.Request) -> web.StreamResponse:
        return await self._perform(request, Kind.AUTHORIZE)

    async def _settle(self, request: web.Request) -> web.StreamResponse:
        return await self._perform(request, Kind.CAPTURE)

    async def _refund(self, request: web.Request) -> web.StreamResponse:
        return await self._perform(request, Kind.REFUND)

    async def _perform(self, request: web.Request, kind: Kind) -> web.StreamResponse:
        self._require_key(request)
        instruction = _read_instruction(kind, await read_form(request))
        return await self._desk.perform(request, instruction, _render)

    async def _query(self, request: web.Request) -> web.StreamResponse:
        self._require_key(request)
        return await self._desk.look_up(request, request.match_info["key"], _render_query)

    def _require_key(self, request: web.Request) -> None:
        if not self._api_key.matches(request.headers.get("X-Api-Key", "")):
            raise Unauthorized("header X-Api-Key: must be the right key")


def _read_instruction(kind: Kind, form: Mapping[str, str]) -> Instruction:
    name = _PARENTS.get(kind)
    wanted = ("transactionRef", "orderRef", "amount", "currency", name or "cardToken")
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
        card_token=read_card_token("cardToken", form["cardToken"]) if name is None else "",
        parent=read_label(name, form[name]) if name is not None else "",
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
