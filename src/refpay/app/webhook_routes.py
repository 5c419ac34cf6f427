"""The endpoint for providers' signed webhooks."""

import ipaddress
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from refpay.app.card_data import refuse_card_data
from refpay.app.commands import anonymous_request, parse_body
from refpay.app.contract import Auth, AuthenticatedRequest, Endpoint, Idempotency, Waived
from refpay.app.services import Services
from refpay.identity.errors import SignatureRefused, SignatureReplayed
from refpay.identity.signing import NamedKey, SignatureVerifier
from refpay.operations.routing import ProviderUnknown
from refpay.payments.errors import EventInvalid, OperationInFlight
from refpay.payments.model import OperationKind
from refpay.payments.webhooks import EventBody, read_event

# How an event may end an operation, or an operation that the provider begins.
_ENDS: Final = ("begun", "succeeded", "declined", "failed", "contradicted")


async def read_webhook(
    _endpoint: Endpoint[Any], services: Services, request: Request
) -> AuthenticatedRequest[Any]:
    """Verify a provider's signature and return the request.

    Raises ProviderUnknown, SignatureRefused, SignatureReplayed, RateLimited, or why the body is refused.
    """
    provider = request.path_params["provider"]
    verifier = services.verifiers.get(provider)
    if verifier is None:
        services.rates.take_unauthenticated()
        raise ProviderUnknown(f"The provider is not one of: {', '.join(sorted(services.verifiers))}.")
    try:
        body = await read_signed(request, verifier)
    except (SignatureRefused, SignatureReplayed):
        _count_refusal(services, request, provider, verifier.named_key(request.headers.getlist))
        raise
    services.rates.take(f"provider:{provider}")
    content = parse_body(request, body)
    refuse_card_data(content, "body")
    return anonymous_request(request, content)


def _count_refusal(services: Services, request: Request, provider: str, named: NamedKey) -> None:
    """Count a refusal: for the provider that it may be of, or for strangers, who page nobody.

    Raises RateLimited. What is over a limit is not counted for the provider.
    """
    ours = _from_provider(services, request, provider)
    if ours or named is NamedKey.KNOWN:
        if ours:
            services.rates.take(f"provider:{provider}")
        else:
            services.rates.take_refused(provider)
        services.measures.count_webhook(provider, "bad_signature")
        return
    reason = "unknown_key" if named is NamedKey.UNKNOWN else "unsigned"
    services.measures.count_unattributed(provider, reason)
    services.rates.take_unauthenticated()


def _from_provider(services: Services, request: Request, provider: str) -> bool:
    """Tell whether the connection comes from an address of the provider. No header is believed."""
    if request.client is None:
        return False
    peer = ipaddress.ip_address(request.client.host)
    return any(peer in network for network in services.webhook_networks[provider])


@Endpoint(
    "POST",
    "/v1/webhooks/{provider}",
    EventBody,
    {204: None},
    auth=Auth.SIGNATURE,
    scopes=Waived("a provider's key is valid for its own events and nothing else"),
    idempotency=Idempotency.EVENT_ID,
    audit=(
        *(f"{kind}.{end}" for kind in OperationKind for end in _ENDS),
        "payment.changed",
        "event.unmatched",
    ),
    problems=(ProviderUnknown, EventInvalid, OperationInFlight),
    read=read_webhook,
)
async def take_event(services: Services, request: AuthenticatedRequest[Any]) -> Response:
    """Apply a provider's event. Events may come in any order and more than once."""
    await services.webhooks.apply(request.path["provider"], read_event(request.payload))
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
