"""Tokens for clients, keys for verifiers, and approvals by second persons."""

from typing import Any, Final

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from refpay.app.bodies import NoQuery, ReasonBody, TokenForm
from refpay.app.commands import hand_on
from refpay.app.contract import Auth, Demand, Endpoint, Waived
from refpay.app.responses import problem_response
from refpay.app.services import Services
from refpay.app.views import ApprovalsView, KeysView, TokenView
from refpay.errors import RefpayError
from refpay.identity import errors
from refpay.identity.approvals import Approval
from refpay.identity.principals import Scope
from refpay.payments.claims import Reply

_DECIDE: Final = (Scope.APPROVALS_DECIDE,)


async def read_raw(_endpoint: Endpoint[Any], _services: Services, request: Request) -> Demand[Any]:
    """Hand the request on as it came: it says in a way of its own who asks."""
    return hand_on(request, request)


@Endpoint(
    "POST",
    "/v1/oauth/token",
    TokenForm,
    {200: TokenView},
    auth=Auth.CLIENT_CREDENTIALS,
    scopes=Waived("it is where scopes come from"),
    idempotency=Waived("nothing is stored: another token is as good"),
    audit=Waived("what a token is used for is on record; a stranger could fill the disk with refusals"),
    problems=(
        *(errors.TokenRequestInvalid, errors.ClientRefused, errors.GrantUnsupported),
        *(errors.ScopeRefused, errors.TokenRateExceeded),
    ),
    media_type="application/x-www-form-urlencoded",
    read=read_raw,
)
async def issue_token(services: Services, demand: Demand[Any]) -> Response:
    """Issue a token by client credentials."""
    request: Request = demand.given
    given = request.headers.getlist("authorization")
    # Two of them are as good as none that is known.
    basic, media_type = " ".join(given) if given else None, request.headers.get("content-type", "")
    try:
        response: Response = JSONResponse(services.tokens.grant(basic, media_type, await request.body()))
    except RefpayError as refusal:
        # As everywhere, with the field that RFC 6749, section 5.2, wants beside.
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
async def show_keys(services: Services, _demand: Demand[NoQuery]) -> Response:
    """Read the public keys of tokens."""
    keys = services.principals.keys.get().jwks()
    return JSONResponse(keys, headers={"Cache-Control": "public, max-age=60"})


@Endpoint("GET", "/v1/approvals", NoQuery, {200: ApprovalsView}, scopes=_DECIDE)
async def show_approvals(services: Services, _demand: Demand[NoQuery]) -> bytes:
    """Read what waits for a second person."""
    return await services.approving.read()


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
async def approve(services: Services, demand: Demand[ReasonBody]) -> Reply:
    """Agree to what somebody else asked for."""
    return await _decide(services, demand, agreed=True)


@_decision("refuse", "approval.refused")
async def refuse(services: Services, demand: Demand[ReasonBody]) -> Reply:
    """Refuse what somebody else asked for."""
    return await _decide(services, demand, agreed=False)


async def _decide(services: Services, demand: Demand[ReasonBody], *, agreed: bool) -> Reply:
    approval_id, reason = demand.id("approval_id", errors.ApprovalUnknown), demand.given.reason
    return await services.approving.decide(demand.command, approval_id, agreed=agreed, reason=reason)
