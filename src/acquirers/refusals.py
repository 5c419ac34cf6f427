"""Answer a refused capture, void or refund, in the same way every time its key is sent."""

from typing import Final

from aiohttp import web

from acquirers.errors import InstructionInvalid
from acquirers.http_requests import error_response
from acquirers.operations import Entry, Refusal

_SENTENCES: Final = {
    Refusal.UNKNOWN_AUTHORIZATION: "there is no such authorization",
    Refusal.AUTHORIZATION_NOT_APPROVED: "the authorization was not approved",
    Refusal.AUTHORIZATION_VOIDED: "the authorization was voided",
    Refusal.AUTHORIZATION_EXPIRED: "the authorization has expired",
    Refusal.EXCEEDS_AUTHORIZATION: "the amount exceeds what is left of the authorization",
    Refusal.NOT_WHAT_IS_LEFT: "the amount is not what is left of the authorization",
    Refusal.UNKNOWN_CAPTURE: "there is no such capture",
    Refusal.CAPTURE_NOT_CAPTURED: "the capture was refused itself",
    Refusal.EXCEEDS_CAPTURE: "the amount exceeds what is left of the capture",
    Refusal.CURRENCY_DIFFERS: "the currency differs from that of the operation before",
}


def refusal_response(entry: Entry) -> web.Response:
    """Answer 422 with the code of the refusal as `reason`."""
    refusal = Refusal(entry.reason or "")
    return error_response(InstructionInvalid(_SENTENCES[refusal]), reason=refusal)
