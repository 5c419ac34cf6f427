"""What whoever is on call at the shop may do to the till's database, and ask of it.

python desk.py release DSN_FILE              end every session that holds a lock on the sales; safe to repeat
python desk.py holders DSN_FILE              how many sessions hold one
python desk.py silence DSN_FILE SINCE UNTIL  the longest time without a customer's sale, by the tables alone
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

HOLDERS = """
FROM pg_locks WHERE relation = 'sale'::regclass AND mode = 'AccessExclusiveLock' AND granted
AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND pid <> pg_backend_pid()
"""
SILENCE = """
WITH seen AS (
    SELECT to_timestamp(%(since)s) AS at UNION ALL SELECT to_timestamp(%(until)s)
    UNION ALL SELECT sold_at FROM sale WHERE NOT starts_with(reference, 'probe-')
        AND sold_at BETWEEN to_timestamp(%(since)s) AND to_timestamp(%(until)s)
)
SELECT coalesce(max(extract(epoch FROM gap)), 0)::float
FROM (SELECT at - lag(at) OVER (ORDER BY at) AS gap FROM seen) AS gaps
"""


def release(dsn_file: str) -> dict[str, Any]:
    """End the sessions that hold a lock on the sales; what they did is rolled back."""
    ended = _ask(dsn_file, f"SELECT count(pg_terminate_backend(pid)) {HOLDERS}")
    return {"released": True, "sessions": ended}


def holders(dsn_file: str) -> dict[str, Any]:
    """Count those sessions."""
    return {"sessions": _ask(dsn_file, f"SELECT count(*) {HOLDERS}")}


def silence(dsn_file: str, since: str, until: str) -> dict[str, Any]:
    """Return the longest time without a customer's sale between two instants, in seconds."""
    return {"seconds": _ask(dsn_file, SILENCE, {"since": float(since), "until": float(until)})}


def _ask(dsn_file: str, query: str, values: dict[str, float] | None = None) -> Any:
    dsn = Path(dsn_file).read_text().strip()
    with psycopg.connect(dsn, connect_timeout=3, options="-c statement_timeout=3000") as connection:
        row = connection.execute(query.encode(), values).fetchone()
    return row[0] if row else None


if __name__ == "__main__":
    PROGRAMS: dict[str, Callable[..., dict[str, Any]]] = {
        "release": release,
        "holders": holders,
        "silence": silence,
    }
    sys.stdout.write(json.dumps(PROGRAMS[sys.argv[1]](*sys.argv[2:])))
