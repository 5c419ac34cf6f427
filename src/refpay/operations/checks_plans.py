"""Fix what the planner must not choose when an id range is read, whatever the statistics say or lack."""

from typing import Final

from refpay.db.pool import Connection

_SETTINGS: Final = {
    # A range of ids is read by its ids. Bitmaps were combined with all of a partial index, the captured
    # payments: 0.9 ms a range at 10,000 payments, 219 ms at a million.
    "enable_bitmapscan": "off",
    # Operations and lines of a range are hashed against each other. By the usual cost of a comparison, pairs
    # looked cheaper as soon as few rows were expected: two million pairs a range, five times the time.
    "cpu_operator_cost": "1",
    # The plan looks dear by that and is not.
    "jit": "off",
}
_APPLY: Final = (
    "SELECT set_config(name, value, true) FROM unnest($1::text[], $2::text[]) AS given (name, value)"
)


async def plan_id_ranges(connection: Connection) -> None:
    """Fix the plans of id ranges until the transaction ends."""
    await connection.execute(_APPLY, list(_SETTINGS), list(_SETTINGS.values()))
