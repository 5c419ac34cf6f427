"""Tokens for clients, keys for verifiers, and approvals by second persons."""

import json
from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

from fastapi import Request, Response

from moneypath.telemetry import correlation
from refpay.app.bodies import NoQuery, ReasonBody, TokenForm
from refpay.app.commands import NOBODY
from refpay.app.contract import Auth, Demand, Endpoint, Handler, Routes, Waived
from refpay.app.services import Services
from refpay.app.views import ApprovalsView, ApprovalView, KeysView, TokenView
from refpay.errors import RefpayError
from refpay.identity.errors import (
    ApprovalRefused,
    ApprovalUnknown,
    ClientRefused,
    GrantUnsupported,
    ScopeRefused,
    SecondPersonNeeded,
    TokenRateExceeded,
    TokenRequestInvalid,
)
from refpay.identity.principals import Scope
from refpay.payments.claims import Command, Reply
from refpay.problems import PROBLEM_MEDIA_TYPE, describe_error

routes: Final = Routes()
_DECIDE: Final = (Scope.APPROVALS_DECIDE,)


async def read_raw(_endpoint: Endpoint[Any], _services: Services, request: Request) -> Demand[Any]:
    """Hand the request on as it came: it says in a way of its own who asks, or nobody needs to know."""
    nobody = Command(NOBODY, "", b"", correlation.current() or "", "live")
    return Demand(nobody, request.path_params, request)


@routes.serve(
    Endpoint(
        "POST",
        "/v1/oauth/token",
        TokenForm,
        {200: TokenView},
        auth=Auth.CLIENT_CREDENTIALS,
        scopes=Waived("it is where scopes come from"),
        idempotency=Waived("nothing is stored: another token is as good"),
        audit=Waived("what a token is used for is on record; a stranger could fill the disk with refusals"),
        problems=(TokenRequestInvalid, ClientRefused, GrantUnsupported, ScopeRefused, TokenRateExceeded),
        media_type="application/x-www-form-urlencoded",
    ),
    read=read_raw,
)
async def issue_token(services: Services, demand: Demand[Any]) -> Response:
    """Issue a token by client credentials."""
    request: Request = demand.given
    given = request.headers.getlist("authorization")
    try:
        grant = services.tokens.grant(
            # Two of them are as good as none that is known.
            " ".join(given) if given else None,
            request.headers.get("content-type", ""),
            await request.body(),
        )
    except RefpayError as refusal:
        return _refuse(refusal)
    return Response(
        json.dumps(grant.content()), media_type="application/json", headers={"Cache-Control": "no-store"}
    )


@routes.serve(
    Endpoint(
        "GET",
        "/.well-known/jwks.json",
        NoQuery,
        {200: KeysView},
        auth=Auth.NONE,
        scopes=Waived("public keys are public"),
    )
)
async def show_keys(services: Services, _demand: Demand[NoQuery]) -> Response:
    """Read the public keys of tokens."""
    return Response(
        json.dumps(services.tokens.jwks()),
        media_type="application/json",
        headers={"Cache-Control": "public, max-age=60"},
    )


def _refuse(refusal: RefpayError) -> Response:
    """Answer as everywhere, with the field that RFC 6749, section 5.2, wants beside."""
    content = {**json.loads(describe_error(refusal, correlation.current() or "")), "error": refusal.code}
    headers = {"Cache-Control": "no-store"}
    if isinstance(refusal, ClientRefused):
        headers["WWW-Authenticate"] = 'Basic realm="refpay"'
    if refusal.retry_after_seconds is not None:
        headers["Retry-After"] = str(refusal.retry_after_seconds)
    return Response(json.dumps(content), refusal.status, headers, PROBLEM_MEDIA_TYPE)


@routes.serve(Endpoint("GET", "/v1/approvals", NoQuery, {200: ApprovalsView}, scopes=_DECIDE))
async def show_approvals(services: Services, _demand: Demand[NoQuery]) -> bytes:
    """Read what waits for a second person."""
    return await services.approving.read()


def _decision(word: str, audited: str) -> Callable[[Handler[ReasonBody]], Handler[ReasonBody]]:
    endpoint = Endpoint(
        "POST",
        f"/v1/approvals/{{approval_id}}/{word}",
        ReasonBody,
        {200: ApprovalView},
        scopes=_DECIDE,
        audit=(audited,),
        problems=(ApprovalUnknown, ApprovalRefused, SecondPersonNeeded),
    )
    return routes.serve(endpoint)


@_decision("approve", "approval.approved")
async def approve(services: Services, demand: Demand[ReasonBody]) -> Reply:
    """Agree to what somebody else asked for."""
    return await _decide(services, demand, agreed=True)


@_decision("refuse", "approval.refused")
async def refuse(services: Services, demand: Demand[ReasonBody]) -> Reply:
    """Refuse what somebody else asked for."""
    return await _decide(services, demand, agreed=False)


async def _decide(services: Services, demand: Demand[ReasonBody], *, agreed: bool) -> Reply:
    try:
        found = UUID(demand.path["approval_id"])
    except ValueError as problem:
        raise ApprovalUnknown("there is no such approval: the id is not a UUID") from problem
    return await services.approving.decide(demand.command, found, agreed=agreed, reason=demand.given.reason)
