"""Endpoints that read the audit trail and the ledger's balances."""

from refpay.app.bodies import AuditQuery, BalancesQuery
from refpay.app.contract import AuthenticatedRequest, Endpoint
from refpay.app.errors import CursorInvalid, RequestInvalid
from refpay.app.services import Services
from refpay.app.views import AuditView, BalancesView
from refpay.audit.trail import read_trail
from refpay.encoding import encode
from refpay.identity.principals import Scope
from refpay.ledger.errors import HistoryArchived
from refpay.ledger.repository import list_balances as read_page


@Endpoint(
    "GET", "/v1/audit", AuditQuery, {200: AuditView}, scopes=(Scope.AUDIT_READ,), problems=(CursorInvalid,)
)
async def list_audit(services: Services, request: AuthenticatedRequest[AuditQuery]) -> bytes:
    """List audit records, newest first. A subject is filtered by kind and id together."""
    query, reader = request.payload, request.command.principal.name
    if (query.subject_kind is None) != (query.subject_id is None):
        lacking = "subject_kind" if query.subject_kind is None else "subject_id"
        problem = "is missing: a subject is its kind and its id"
        raise RequestInvalid(f"{lacking}: {problem}", [{"key": lacking, "problem": problem}])
    subject = (query.subject_kind, query.subject_id) if query.subject_kind and query.subject_id else None
    page_request = query.page_request(reader, query.at_from, query.at_to)
    events, last = await read_trail(services.database, page_request, subject=subject, actor=query.actor)
    return query.page(reader, "events", events, last)


@Endpoint(
    "GET",
    "/v1/ledger/balances",
    BalancesQuery,
    {200: BalancesView},
    scopes=(Scope.LEDGER_READ,),
    problems=(HistoryArchived,),
)
async def list_balances(services: Services, request: AuthenticatedRequest[BalancesQuery]) -> bytes:
    """Read the balances of accounts, now or at an earlier instant."""
    query = request.payload
    asked = (query.account, query.as_of)
    found, after = await read_page(services.database, *asked, after=query.after, limit=query.limit)
    shown = [
        {"account": account, "currency": currency, "balance_minor": minor}
        for (account, currency), minor in sorted(found.items())
    ]
    return encode({"as_of": query.as_of, "balances": shown, "next": after})
