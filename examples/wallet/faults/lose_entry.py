"""Lose ledger entries for real: delete the newest top-ups from `movement`, and put them back later.

    python lose_entry.py begin OWNER_DSN_FILE FOLDER COUNT LEASE_SECONDS     prints {"id": ...}
    python lose_entry.py renew FOLDER ID LEASE_SECONDS
    python lose_entry.py end FOLDER ID
    python lose_entry.py hits FOLDER ID                                      prints {"faults": [...]}

What was deleted stands in FOLDER. A process of its own puts it back when the lease is over or `end` is
called: nothing stays lost when whoever began it dies. What an operator has booked again meanwhile
stays as it is.
"""

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg.types.json import Jsonb

POLL_SECONDS: Final = 0.2
LONGEST_LEASE_SECONDS: Final = 600.0
DELETE: Final = """
DELETE FROM movement WHERE id IN (
    SELECT id FROM movement WHERE kind = 'TOP_UP' ORDER BY booked_at DESC LIMIT %s
) RETURNING to_jsonb(movement)
"""
PUT_BACK: Final = """
INSERT INTO movement SELECT * FROM jsonb_populate_recordset(NULL::movement, %s) ON CONFLICT DO NOTHING
"""


def begin(dsn_file: str, folder: str, count: str, lease: str) -> None:
    """Delete entries, and leave a guardian behind that puts them back."""
    name, place = secrets.token_hex(6), Path(folder)
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    with psycopg.connect(_dsn(dsn_file), connect_timeout=5) as connection:
        rows = [row for (row,) in connection.execute(DELETE, (int(count),)).fetchall()]
        # Before the deletion counts: what is written down can be put back.
        (place / f"{name}.rows").write_text(json.dumps(rows), encoding="utf-8")
    if not rows:
        raise SystemExit("there is no top-up to lose")
    _set_lease(place, name, float(lease))
    log = place / f"{name}.log"
    with log.open("wb") as output:
        subprocess.Popen(  # noqa: S603 - our own program with our own words
            [sys.executable, __file__, "guard", dsn_file, folder, name],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
    print(json.dumps({"id": name, "lost": len(rows)}))


def renew(folder: str, name: str, lease: str) -> None:
    """Let it last longer."""
    if not (Path(folder) / f"{name}.rows").exists():
        raise SystemExit("it has ended")
    _set_lease(Path(folder), name, float(lease))
    print("{}")


def end(folder: str, name: str) -> None:
    """Have the guardian put the entries back, and wait until it has; safe to repeat."""
    _set_lease(Path(folder), name, 0.0)
    until = time.monotonic() + 8
    while (Path(folder) / f"{name}.rows").exists():
        if time.monotonic() > until:
            raise SystemExit("the entries are not back yet")
        time.sleep(POLL_SECONDS)
    print("{}")


def hits(folder: str, name: str) -> None:
    """Print how many entries are lost."""
    file = Path(folder) / f"{name}.rows"
    listed = [{"id": name, "hits": len(json.loads(file.read_text("utf-8")))}] if file.exists() else []
    print(json.dumps({"faults": listed}))


def guard(dsn_file: str, folder: str, name: str) -> None:
    """Wait for the end of the lease, put the entries back, and forget them."""
    place, dsn = Path(folder), _dsn(dsn_file)
    lease, rows = place / f"{name}.lease", place / f"{name}.rows"
    while time.monotonic() < float(lease.read_text("utf-8")):
        time.sleep(POLL_SECONDS)
    lost: list[dict[str, Any]] = json.loads(rows.read_text("utf-8"))
    with psycopg.connect(dsn, connect_timeout=5) as connection:
        connection.execute(PUT_BACK, (Jsonb(lost),))
    rows.unlink()


def _dsn(file: str) -> str:
    return Path(file).read_text(encoding="utf-8").strip()


def _set_lease(place: Path, name: str, seconds: float) -> None:
    draft = place / f"{name}.partial"
    draft.write_text(str(time.monotonic() + min(seconds, LONGEST_LEASE_SECONDS)), encoding="utf-8")
    draft.replace(place / f"{name}.lease")


if __name__ == "__main__":
    os.umask(0o077)
    PROGRAMS: dict[str, Callable[..., None]] = {
        "begin": begin, "renew": renew, "end": end, "hits": hits, "guard": guard
    }  # fmt: skip
    PROGRAMS[sys.argv[1]](*sys.argv[2:])
