"""Hold a lock on the till's sales, as a migration that was forgotten does: each sale waits, and fails.

python hold_lock.py begin DSN_FILE FOLDER LEASE_SECONDS     prints {"id": ...}
python hold_lock.py renew FOLDER ID LEASE_SECONDS
python hold_lock.py end FOLDER ID
"""

import json
import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psycopg

POLL_SECONDS = 0.1
LONGEST_SECONDS = 300.0


def begin(dsn_file: str, folder: str, lease: str) -> None:
    """Leave a process behind that holds the lock until the lease is over."""
    name, place = secrets.token_hex(6), Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    _set_lease(place, name, float(lease))
    subprocess.Popen(
        [sys.executable, __file__, "hold", dsn_file, folder, name],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    sys.stdout.write(json.dumps({"id": name}))


def renew(folder: str, name: str, lease: str) -> None:
    """Let it last longer."""
    _set_lease(Path(folder), name, float(lease))
    sys.stdout.write("{}")


def end(folder: str, name: str) -> None:
    """Let the lock go; safe to repeat."""
    _set_lease(Path(folder), name, 0.0)
    sys.stdout.write("{}")


def hold(dsn_file: str, folder: str, name: str) -> None:
    """Hold the lock until the lease is over."""
    lease = Path(folder) / f"{name}.lease"
    with psycopg.connect(Path(dsn_file).read_text().strip(), connect_timeout=5) as connection:
        connection.execute("LOCK TABLE sale IN ACCESS EXCLUSIVE MODE")
        while time.monotonic() < float(lease.read_text()):
            time.sleep(POLL_SECONDS)


def _set_lease(place: Path, name: str, seconds: float) -> None:
    draft = place / f"{name}.partial"
    draft.write_text(str(time.monotonic() + min(seconds, LONGEST_SECONDS)))
    draft.replace(place / f"{name}.lease")


if __name__ == "__main__":
    PROGRAMS: dict[str, Callable[..., None]] = {"begin": begin, "renew": renew, "end": end, "hold": hold}
    PROGRAMS[sys.argv[1]](*sys.argv[2:])
