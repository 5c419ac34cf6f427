"""Endpoints for access tokens, their public keys, and approvals."""

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from refpay.app.bodies import NoQuery, ReasonBody, TokenForm
from refpay.app.commands import anonymous_request
from refpay.app.contract import Auth, AuthenticatedRequest, Endpoint, Waived
from refpay.app.responses import problem_response
from refpay.app.services import Services
from refpay.app.views import ApprovalsView, KeysView, TokenView
from refpay.errors import RefpayError
from refpay.identity import errors
from refpay.identity.approvals import Approval
from refpay.identity.principals import Scope
from refpay.payments.claims import Reply

_DECIDE: Final = (Scope.APPROVALS_DECIDE,)


async def read_raw(
    _endpoint: Endpoint[Any], _services: Services, request: Request
) -> AuthenticatedRequest[Any]:
    """Pass the request on unread: the token endpoint authenticates its sender by itself."""
    return anonymous_request(request, request)


@Endpoint(
    "POST",
    "/v1/oauth/token",
    TokenForm,
    {200: TokenView},
    auth=Auth.CLIENT_CREDENTIALS,
    scopes=Waived("scopes are granted here"),
    idempotency=Waived("nothing is stored, and another token is as good"),
    audit=Waived("every use of a token is audited; records of refusals could fill the disk"),
    problems=(
        errors.TokenRequestInvalid,
        errors.ClientRefused,
        errors.GrantUnsupported,
        errors.ScopeRefused,
        errors.TokenRateExceeded,
    ),
    media_type="application/x-www-form-urlencoded",
    read=read_raw,
)
async def issue_token(services: Services, request: AuthenticatedRequest[Any]) -> Response:
    """Issue a token by client credentials."""
    http_request: Request = request.payload
    given = http_request.headers.getlist("authorization")
    # Repeated headers are joined, and so refused as malformed.
    basic, media_type = " ".join(given) if given else None, http_request.headers.get("content-type", "")
    try:
        response: Response = JSONResponse(services.tokens.grant(basic, media_type, await http_request.body()))
    except RefpayError as refusal:
        # A problem as everywhere, with the field `error` that RFC 6749, section 5.2, requires.
        response = problem_response(refusal, error=refusal.code)
    response.headers["Cache-Control"] = "no-store"
    return response


@Endpoint(
    "GET",
    "/.well-known/jwks.json",
    NoQuery,
    {200: KeysView},
    auth=Auth.NONE,
    scopes=Waived("public keys are public"),
)
async def show_keys(services: Services, _request: AuthenticatedRequest[NoQuery]) -> Response:
    """Read the public keys that verify access tokens."""
    keys = services.principals.keys.get().jwks()
    return JSONResponse(keys, headers={"Cache-Control": "public, max-age=60"})


@Endpoint("GET", "/v1/approvals", NoQuery, {200: ApprovalsView}, scopes=_DECIDE)
async def show_approvals(services: Services, _request: AuthenticatedRequest[NoQuery]) -> bytes:
    """Read what waits for the approval of a second person."""
    return await services.approvals.read()


def _decision(word: str, audited: str) -> Endpoint[ReasonBody]:
    return Endpoint(
        "POST",
        f"/v1/approvals/{{approval_id}}/{word}",
        ReasonBody,
        {200: Approval},
        scopes=_DECIDE,
        audit=(audited,),
        problems=(errors.ApprovalUnknown, errors.ApprovalRefused, errors.SecondPersonNeeded),
    )


@_decision("approve", "approval.approved")
async def approve(services: Services, request: AuthenticatedRequest[ReasonBody]) -> Reply:
    """Approve what somebody else asked for."""
    return await _decide(services, request, agreed=True)


@_decision("refuse", "approval.refused")
async def refuse(services: Services, request: AuthenticatedRequest[ReasonBody]) -> Reply:
    """Refuse what somebody else asked for."""
    return await _decide(services, request, agreed=False)


async def _decide(services: Services, request: AuthenticatedRequest[ReasonBody], *, agreed: bool) -> Reply:
    approval_id, reason = request.id("approval_id", errors.ApprovalUnknown), request.payload.reason
    return await services.approvals.decide(request.command, approval_id, agreed=agreed, reason=reason)
