"""Count the effects of messages in the service's own tables once it has nothing left to do."""

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import asyncpg
from proofs.crash_test.errors import CrashTestFailed
from tenacity import AsyncRetrying, retry_if_result, stop_after_delay, wait_fixed

from moneypath.stack import secrets
from moneypath.stack.endpoints import Endpoints

_COUNT_EVERY_SECONDS: Final = 0.5
_COUNT: Final = """
    SELECT count(*) AS resolved,
           count(*) FILTER (WHERE settled_by = 'worker') AS by_worker,
           count(*) FILTER (WHERE coalesce(told, 0) = 0) AS unnotified,
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
class MessageEffects:
    """The resolved operations, how many of them the worker resolved, and the effects of their messages.

    Every resolved operation needs exactly one notification and one entry of the compliance log.
    """

    resolved: int
    by_worker: int
    unnotified: int
    unlogged: int
    notifications: int
    entries: int
    breaks: int

    @property
    def missing(self) -> int:
        """Return the number of missing effects."""
        return self.unnotified + self.unlogged

    @property
    def findings(self) -> tuple[str, ...]:
        """Return a sentence for effects that are missing, duplicated, or break the chain of the compliance
        log.
        """
        spare = self.notifications + self.entries - 2 * self.resolved + self.missing
        said = (
            (self.unnotified, "resolved operations without a notification"),
            (self.unlogged, "resolved operations that the compliance log lacks"),
            (spare, "effects of messages that were applied twice"),
            (self.breaks, "breaks in the compliance log"),
        )
        return tuple(f"{number} {what}" for number, what in said if number)


async def await_effects(endpoints: Endpoints, patience_seconds: float) -> MessageEffects:
    """Wait until every resolved operation has its effects, at most for `patience_seconds`; return the counts.

    Raises CrashTestFailed if the database does not answer.
    """
    connection = await connect(endpoints)

    async def count() -> MessageEffects:
        row: Any = await connection.fetchrow(_COUNT, timeout=30)
        return MessageEffects(**dict(row))

    try:
        return await AsyncRetrying(
            retry=retry_if_result(lambda effects: effects.missing > 0),
            wait=wait_fixed(_COUNT_EVERY_SECONDS),
            stop=stop_after_delay(patience_seconds),
            retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
        )(count)
    finally:
        await connection.close()


async def connect(endpoints: Endpoints) -> "asyncpg.Connection[asyncpg.Record]":
    """Connect as the superuser, because no role of the service may read all of this; the caller closes."""
    password = secrets.read(endpoints.run_folder / "secrets" / "database", "postgres")
    port = urlsplit(endpoints.oracle_dsn).port
    try:
        return await asyncpg.connect(
            host="127.0.0.1", port=port, user="postgres", password=password, database="refpay", timeout=10
        )
    except (OSError, asyncpg.PostgresError) as error:
        raise CrashTestFailed(f"the database does not answer: {type(error).__name__}") from error
