"""The audit trail, for those who may read all of it."""

from typing import Final

from refpay.app.bodies import AuditQuery
from refpay.app.contract import Demand, Endpoint, Routes
from refpay.app.cursors import make_cursor, read_cursor
from refpay.app.errors import CursorInvalid, RequestInvalid
from refpay.app.services import Services
from refpay.app.views import AuditView
from refpay.audit.trail import Filter
from refpay.encoding import encode
from refpay.identity.principals import Scope

routes: Final = Routes()


@routes.serve(
    Endpoint(
        "GET",
        "/v1/audit",
        AuditQuery,
        {200: AuditView},
        scopes=(Scope.AUDIT_READ,),
        problems=(CursorInvalid,),
    )
)
async def list_audit(services: Services, demand: Demand[AuditQuery]) -> bytes:
    """List what was changed, by whom and when, newest first. A subject is asked for by kind and id."""
    query = demand.given
    if (query.subject_kind is None) != (query.subject_id is None):
        lacking = "subject_kind" if query.subject_kind is None else "subject_id"
        problem = "is missing: a subject is its kind and its id"
        raise RequestInvalid(f"{lacking}: {problem}", [{"key": lacking, "problem": problem}])
    subject = (query.subject_kind, query.subject_id) if query.subject_kind and query.subject_id else None
    listing = query.listing(demand.command.principal.name)
    after = read_cursor(query.cursor, listing)
    wanted = Filter(subject, query.actor, query.at_from, query.at_to)
    page = await services.trail.read(wanted, after=after, limit=query.limit)
    return encode({"events": page.events, "next": page.after and make_cursor(page.after, listing)})
