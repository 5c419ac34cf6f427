"""What providers tell by themselves, signed; each event changes something once, however often it comes."""

from typing import Any, Final

from fastapi import Request, Response

from refpay.app.card_data import refuse_card_data
from refpay.app.commands import hand_on, parse_body
from refpay.app.contract import Auth, Demand, Endpoint, Idempotency, Waived
from refpay.app.services import Services
from refpay.identity.errors import SignatureRefused, SignatureReplayed
from refpay.identity.signing import SignatureVerifier
from refpay.operations.routing import ProviderUnknown
from refpay.payments.errors import EventInvalid, OperationInFlight
from refpay.payments.model import OperationKind
from refpay.payments.webhooks import EventBody, read_event

# What a provider's word may do to operations, and to those that it begins.
_ENDS: Final = ("begun", "succeeded", "declined", "failed", "contradicted")


async def read_webhook(_endpoint: Endpoint[Any], services: Services, request: Request) -> Demand[Any]:
    """Return what a provider has signed; raises whatever keeps it from being taken."""
    provider = request.path_params["provider"]
    verifier = services.verifiers.get(provider)
    if verifier is None:
        services.rates.take_stranger()
        raise ProviderUnknown(f"there is no such provider, allowed: {', '.join(sorted(services.verifiers))}")
    try:
        body = await read_signed(request, verifier)
    except (SignatureRefused, SignatureReplayed):
        services.measures.count_webhook(provider, "bad_signature")
        services.rates.take_stranger()
        raise
    services.rates.take(f"provider:{provider}")
    content = parse_body(request, body)
    refuse_card_data(content, "body")
    return hand_on(request, content)


@Endpoint(
    "POST",
    "/v1/webhooks/{provider}",
    EventBody,
    {204: None},
    auth=Auth.SIGNATURE,
    scopes=Waived("a provider's key is good for its own events and nothing else"),
    idempotency=Idempotency.EVENT_ID,
    audit=(
        *(f"{kind}.{end}" for kind in OperationKind for end in _ENDS),
        "payment.changed",
        "event.unmatched",
    ),
    problems=(ProviderUnknown, EventInvalid, OperationInFlight),
    read=read_webhook,
)
async def take_event(services: Services, demand: Demand[Any]) -> Response:
    """Take a provider's event, in whatever order and however often it comes."""
    await services.webhooks.apply(demand.path["provider"], read_event(demand.given))
    return Response(status_code=204)


async def read_signed(request: Request, verifier: SignatureVerifier) -> bytes:
    """Return the body of a signed request; raises SignatureRefused or SignatureReplayed."""
    body = await request.body()
    query = request.scope["query_string"]
    target = request.scope["raw_path"] + (b"?" + query if query else b"")
    await verifier.verify(
        request.headers.getlist, method=request.method, target=target.decode("latin-1"), body=body
    )
    return body
