"""Control endpoints for chargebacks (open, win) and for the state of the webhooks."""

from typing import Final

from aiohttp import web

from acquirers.bookkeeper import Bookkeeper
from acquirers.chargebacks import BookingResult, ChargebackRequest
from acquirers.errors import InstructionInvalid
from acquirers.http_requests import Secret, read_json_object
from acquirers.money import LARGEST_MINOR
from acquirers.operations import read_label
from acquirers.webhooks import WebhookSender

_KEYS: Final = ("key", "reference", "amount_minor")


class ChargebackControl:
    """Chargebacks and the state of the webhooks; all require the control token."""

    def __init__(
        self, *, bookkeeper: Bookkeeper, token: Secret, webhook_sender: WebhookSender | None
    ) -> None:
        self._bookkeeper = bookkeeper
        self._token = token
        self._webhook_sender = webhook_sender

    def routes(self) -> list[web.RouteDef]:
        """Return the routes, which are the same for every dialect."""
        return [
            web.post("/control/chargebacks", self._open),
            web.post("/control/chargebacks/{movement}/won", self._win),
            web.get("/control/webhooks", self._webhooks),
        ]

    async def _open(self, request: web.Request) -> web.Response:
        self._token.require_bearer(request)
        body = await read_json_object(request)
        unknown = sorted(set(body) - set(_KEYS))
        if unknown:
            raise InstructionInvalid(f"{unknown[0][:64]}: unknown key; allowed: {', '.join(_KEYS)}")
        if ("key" in body) == ("reference" in body):
            raise InstructionInvalid("key: give either the capture's key or its merchant reference")
        amount = body.get("amount_minor")
        if amount is not None and (type(amount) is not int or not 1 <= amount <= LARGEST_MINOR):
            raise InstructionInvalid(f"amount_minor: must be an integer from 1 to {LARGEST_MINOR}")
        order = ChargebackRequest(
            key=read_label("key", body["key"]) if "key" in body else "",
            reference=read_label("reference", body["reference"]) if "reference" in body else "",
            amount_minor=amount,
        )
        return _answer(await self._bookkeeper.open_chargeback(order))

    async def _win(self, request: web.Request) -> web.Response:
        self._token.require_bearer(request)
        return _answer(await self._bookkeeper.win_chargeback(request.match_info["movement"]))

    async def _webhooks(self, request: web.Request) -> web.Response:
        self._token.require_bearer(request)
        if self._webhook_sender is None:
            return web.json_response({"on": False})
        counts = self._webhook_sender.counts
        return web.json_response(
            {
                "on": True,
                "told": self._webhook_sender.delivered_through,
                "pending": self._webhook_sender.pending,
                "taken": counts.taken,
                "lost": counts.lost,
                "abandoned": counts.abandoned,
            }
        )


def _answer(applied: BookingResult) -> web.Response:
    entry = applied.entry
    return web.json_response(
        {
            "movement": entry.provider_reference,
            "kind": entry.kind,
            "key": entry.key,
            "reference": entry.reference,
            "capture": entry.parent,
            "amount_minor": entry.amount_minor,
            "currency": entry.currency,
        },
        status=200 if applied.replayed else 201,
    )
