"""A server to be supervised: serves /healthz and writes down what happens to it.

Arguments: one JSON object. `port` to serve on (absent: never ready); `events` a file to append to;
`deaf` ignores SIGTERM; `offspring` starts a grandchild that leaves session and group, as PostgreSQL's
backends do; `exit_after_ready` ends with that code after the first answer; `say` is logged at the start.
"""

import http.server
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, NoReturn


class _Health(http.server.BaseHTTPRequestHandler):
    exit_code: int | None = None

    def do_GET(self) -> None:
        """Answer 200, and end when that was asked for."""
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
        self.wfile.flush()
        if self.exit_code is not None:
            os._exit(self.exit_code)

    def log_message(self, format: str, *args: object) -> None:  # the base class names it so
        """Keep the log for what the test said."""


def main(wanted: dict[str, Any]) -> NoReturn:
    """Do what was asked until a signal comes."""

    def note(event: str) -> None:
        if "events" in wanted:
            with Path(wanted["events"]).open("a") as events:
                events.write(f"{event} {wanted['name']}\n")

    def end(*_: object) -> NoReturn:
        note("stopped")
        os._exit(0)

    signal.signal(signal.SIGTERM, signal.SIG_IGN if wanted.get("deaf") else end)
    if wanted.get("offspring"):
        subprocess.Popen(["/bin/sleep", "600"], start_new_session=True)
    if "say" in wanted:
        print(wanted["say"], flush=True)  # noqa: T201  # its log is what the test reads
    if "exit_at_start" in wanted:
        os._exit(wanted["exit_at_start"])
    note("started")
    if "port" in wanted:
        _Health.exit_code = wanted.get("exit_after_ready")
        server = http.server.ThreadingHTTPServer(("127.0.0.1", wanted["port"]), _Health)
        threading.Thread(target=server.serve_forever, daemon=True).start()
    while True:
        signal.pause()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
