"""Write audit records. Nothing else writes them."""

import json

from refpay.audit.events import AuditEvent
from refpay.db.pool import Connection
from refpay.ids import mint_id

_INSERT = """
    INSERT INTO audit.event (id, at, actor, action, subject_kind, subject_id, before, after, correlation_id)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""


async def record(connection: Connection, *events: AuditEvent) -> None:
    """Write audit records in the caller's transaction, which is that of the change."""
    for event in events:
        before = None if event.before is None else json.dumps(event.before)
        await connection.execute(
            _INSERT,
            mint_id(event.at),
            event.at,
            event.actor,
            event.action,
            event.subject_kind,
            event.subject_id,
            before,
            json.dumps(event.after),
            event.correlation_id,
        )
