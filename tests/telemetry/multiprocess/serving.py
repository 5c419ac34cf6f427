"""Real servers with several workers on one port, for tests that kill them."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

WORKERS = 3
DEADLINE_SECONDS = 60.0
PAID = (
    'moneypath_payments_total{operation="authorize",outcome="succeeded",provider="north",'
    'traffic="live",cohort="control"}'
)
GUNICORN = ("gunicorn", "--workers", str(WORKERS), "--bind", "fd://{fd}", "--log-level", "warning")
SERVERS = {
    "uvicorn": (
        "uvicorn",
        "--workers",
        str(WORKERS),
        "--fd",
        "{fd}",
        "--log-level",
        "warning",
        "service:asgi",
    ),
    "gunicorn": (*GUNICORN, "service:wsgi"),
    "gunicorn preloaded": (*GUNICORN, "--preload", "service:wsgi"),
    "gunicorn with uvicorn's worker": (*GUNICORN, "-k", "uvicorn.workers.UvicornWorker", "service:asgi"),
}


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait for a condition. Fails after a minute."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class Served:
    """A running server, its port, and the folder that its workers share."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
        self.process = process
        self.port = port
        self.folder = folder

    def get(self, path: str) -> str:
        """Send a request to any worker."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=30) as answer:
            text: str = answer.read().decode()
            return text

    def pay(self, count: int) -> Counter[int]:
        """Send payments concurrently, and return how many each worker took."""
        with ThreadPoolExecutor(8) as pool:
            return Counter(json.loads(text) for text in pool.map(self.get, ["/pay"] * count))

    def paid(self) -> int:
        """Scrape and return the number of payments."""
        lines = self.get("/metrics").splitlines()
        assert 'moneypath_payments_in_flight{operation="authorize"} 0' in lines
        assert 'moneypath_telemetry_drops_total{reason="not_shared"} 0' in lines
        assert 'moneypath_telemetry_drops_total{reason="shared_file"} 0' in lines
        return next(int(float(line.split()[-1])) for line in lines if line.startswith(PAID))

    def workers(self) -> set[int]:
        """Return the process ids of the worker files in the folder."""
        return {int(path.name.split("-")[0]) for path in self.folder.glob("*/*/*.points")}

    def counts_until_without(self, gone: set[int]) -> set[int]:
        """Scrape until some workers have been replaced, and return every count on the way."""
        counts = set()

        def is_forgotten() -> bool:
            # A worker that is killed takes the connections along that it had accepted.
            with suppress(OSError):
                counts.add(self.paid())
            return gone.isdisjoint(self.workers()) and len(self.workers()) == WORKERS

        wait_until(is_forgotten)
        return counts


@contextmanager
def serving(server: str, folder: Path, environment: Mapping[str, str] | None = None) -> Iterator[Served]:
    """Start a server on a free port. Its workers share a folder below the given one."""
    run = folder / "run"
    run.mkdir(mode=0o700)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.set_inheritable(True)
        arguments = [part.format(fd=listener.fileno()) for part in SERVERS[server]]
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=Path(__file__).parent,
            env={**os.environ, "XDG_RUNTIME_DIR": str(run), **(environment or {})},
            pass_fds=[listener.fileno()],
        )
        try:
            served = Served(process, listener.getsockname()[1], run)
            wait_until(lambda: len(served.workers()) == WORKERS)
            yield served
        finally:
            process.terminate()
            process.wait(DEADLINE_SECONDS)
