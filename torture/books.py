"""What stands in the service's own tables once it has come to rest: who settled, and who was told."""

import asyncio
import time
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import asyncpg

from moneypath.stack import secrets
from moneypath.stack.endpoints import Endpoints
from torture.errors import TortureFailed

_LOOK_EVERY_SECONDS: Final = 0.5
_COUNT: Final = """
    SELECT count(*) AS settled,
           count(*) FILTER (WHERE settled_by = 'worker') AS by_worker,
           count(*) FILTER (WHERE coalesce(told, 0) = 0) AS untold,
           count(*) FILTER (WHERE coalesce(logged, 0) = 0) AS unlogged,
           (SELECT count(*) FROM messages.notification) AS notifications,
           (SELECT count(*) FROM messages.compliance_entry) AS entries,
           (SELECT count(*) FROM messages.compliance_breaks) AS breaks
    FROM payments.operation
    LEFT JOIN (SELECT operation_id, count(*) AS told FROM messages.notification GROUP BY 1) AS notification
        ON notification.operation_id = operation.id
    LEFT JOIN (SELECT (body::jsonb ->> 'operation_id')::uuid AS operation_id, count(*) AS logged
               FROM messages.compliance_entry GROUP BY 1) AS entry ON entry.operation_id = operation.id
    WHERE settled_at IS NOT NULL
"""


@dataclass(frozen=True, slots=True)
class Telling:
    """Operations settled, how many of them by the worker, and what their messages led to.

    Of every settled operation one notification and one entry of the compliance log is needed, and no more.
    """

    settled: int
    by_worker: int
    untold: int
    unlogged: int
    notifications: int
    entries: int
    breaks: int

    @property
    def missing(self) -> int:
        """Return how many effects have not come about."""
        return self.untold + self.unlogged

    @property
    def findings(self) -> tuple[str, ...]:
        """Say what was told never, twice, or broke the chain of the compliance log."""
        spare = self.notifications + self.entries - 2 * self.settled + self.missing
        said = (
            (self.untold, "settled operations nobody was notified of"),
            (self.unlogged, "settled operations that the compliance log lacks"),
            (spare, "effects of messages too many"),
            (self.breaks, "breaks in the compliance log"),
        )
        return tuple(f"{number} {what}" for number, what in said if number)


async def await_told(endpoints: Endpoints, patience_seconds: float) -> Telling:
    """Wait until every settled operation has its effects, or no longer than that, and count.

    Raises TortureFailed when the database does not answer.
    """
    deadline = time.monotonic() + patience_seconds
    connection = await _connect(endpoints)
    try:
        while True:
            row: Any = await connection.fetchrow(_COUNT, timeout=30)
            telling = Telling(**dict(row))
            if not telling.missing or time.monotonic() > deadline:
                return telling
            await asyncio.sleep(_LOOK_EVERY_SECONDS)
    finally:
        await connection.close()


async def _connect(endpoints: Endpoints) -> "asyncpg.Connection[asyncpg.Record]":
    # No role of the service may read all of this.
    password = secrets.read(endpoints.run_folder / "secrets" / "database", "postgres")
    port = urlsplit(endpoints.oracle_dsn).port
    try:
        return await asyncpg.connect(
            host="127.0.0.1", port=port, user="postgres", password=password, database="refpay", timeout=10
        )
    except (OSError, asyncpg.PostgresError) as error:
        raise TortureFailed(f"the database does not answer: {type(error).__name__}") from error
