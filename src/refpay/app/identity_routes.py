"""Tokens for clients, keys for verifiers, approvals for second persons, and the door of signed requests."""

import json
from uuid import UUID

from fastapi import APIRouter, Request, Response

from moneypath.telemetry import correlation
from refpay.app.bodies import RouteBody
from refpay.app.commands import authenticate, read_demand
from refpay.app.payment_routes import describe_body
from refpay.app.responses import json_response, reply_response
from refpay.errors import RefpayError
from refpay.identity.errors import ApprovalUnknown, ClientRefused
from refpay.identity.principals import Principals, Scope
from refpay.identity.signing import SignatureVerifier
from refpay.identity.token_desk import TokenDesk
from refpay.operations.approving import Approving
from refpay.problems import PROBLEM_MEDIA_TYPE, describe_error


def token_routes(desk: TokenDesk) -> APIRouter:
    """Return the token endpoint and the public keys."""
    router = APIRouter()

    @router.post("/v1/oauth/token")
    async def token(request: Request) -> Response:
        given = request.headers.getlist("authorization")
        try:
            grant = desk.grant(
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

    @router.get("/.well-known/jwks.json")
    async def jwks() -> Response:
        return Response(
            json.dumps(desk.jwks()),
            media_type="application/json",
            headers={"Cache-Control": "public, max-age=60"},
        )

    return router


def _refuse(refusal: RefpayError) -> Response:
    """Answer as everywhere, with the field that RFC 6749, section 5.2, wants beside."""
    content = {**json.loads(describe_error(refusal, correlation.current() or "")), "error": refusal.code}
    headers = {"Cache-Control": "no-store"}
    if isinstance(refusal, ClientRefused):
        headers["WWW-Authenticate"] = 'Basic realm="refpay"'
    if refusal.retry_after_seconds is not None:
        headers["Retry-After"] = str(refusal.retry_after_seconds)
    return Response(json.dumps(content), refusal.status, headers, PROBLEM_MEDIA_TYPE)


def approval_routes(approving: Approving, principals: Principals) -> APIRouter:
    """Return what a second person needs: what waits, and the two answers to it."""
    router = APIRouter()

    @router.get("/v1/approvals")
    async def show(request: Request) -> Response:
        authenticate(request, principals, Scope.APPROVALS_DECIDE)
        return json_response(await approving.read())

    async def decide(request: Request, approval_id: str, *, agreed: bool) -> Response:
        demand = await read_demand(request, principals, Scope.APPROVALS_DECIDE, RouteBody)
        try:
            found = UUID(approval_id)
        except ValueError as problem:
            raise ApprovalUnknown("there is no such approval: the id is not a UUID") from problem
        reply = await approving.decide(demand.command, found, agreed=agreed, reason=demand.body.reason)
        return reply_response(reply)

    @router.post("/v1/approvals/{approval_id}/approve", openapi_extra=describe_body(RouteBody))
    async def approve(request: Request, approval_id: str) -> Response:
        return await decide(request, approval_id, agreed=True)

    @router.post("/v1/approvals/{approval_id}/refuse", openapi_extra=describe_body(RouteBody))
    async def refuse(request: Request, approval_id: str) -> Response:
        return await decide(request, approval_id, agreed=False)

    return router


async def read_signed(request: Request, verifier: SignatureVerifier) -> bytes:
    """Return the body of a signed request; raises SignatureRefused or SignatureReplayed."""
    body = await request.body()
    query = request.scope["query_string"]
    target = request.scope["raw_path"] + (b"?" + query if query else b"")
    await verifier.verify(
        request.headers.getlist, method=request.method, target=target.decode("latin-1"), body=body
    )
    return body
