"""The reaper: a small process that is the parent of every server of one stack.

It is run by path with `python -I` and imports only the standard library, so it starts fast, stays small and
has one thread. The single thread matters twice: a child's parent-death signal is tied to the *thread* that
forked it, and code between fork and exec is safe only without other threads.

It reads commands from a socket, one JSON object a line. When the socket ends, because its supervisor closed
it or was killed, it kills all remaining servers, removes the scratch files and folders, and ends. As child
subreaper it also adopts the grandchildren of a server that dies. No parent-death signal reaches those, and
some, like PostgreSQL's backends, leave their process group.
"""

import contextlib
import ctypes
import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
ORPHANS_WITHIN_SECONDS = 5.0
LONGEST_COMMAND_BYTES = 1 << 20


def prctl(option: int, value: int) -> None:
    """Call prctl(2); raises OSError when the kernel refuses."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}, {value})")


def die_with(parent: int) -> Callable[[], None]:
    """Return a function that a child runs after it has dropped its privileges; setuid(2) clears the
    setting.
    """

    def arm() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # the parent died before the line above
            os._exit(127)

    return arm


def children(parent: int) -> list[int]:
    """List the direct children of a process, including zombies."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text(errors="replace")
        except OSError:
            continue  # it ended while we looked
        if int(stat.rpartition(")")[2].split()[1]) == parent:
            found.append(int(entry.name))
    return found


class Reaper:
    """Owns the servers of one stack until its control socket ends."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._buffer = b""
        self._servers: dict[str, subprocess.Popen[bytes]] = {}
        self._scratch: list[str] = []
        self._closing = False

    def run(self) -> None:
        """Serve commands and report exits until the control socket ends or SIGTERM arrives."""
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        os.umask(0o077)  # what servers write, books and logs of payments among it, is their account's alone
        wake_read, wake_write = socket.socketpair()
        for end in (wake_read, wake_write):
            end.setblocking(False)
        signal.set_wakeup_fd(wake_write.fileno(), warn_on_full_buffer=False)
        # Handlers, not SIG_IGN: an ignored signal would stay ignored in every server.
        for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: setattr(self, "_closing", True))
        with selectors.DefaultSelector() as selector:
            selector.register(self._control, selectors.EVENT_READ)
            selector.register(wake_read, selectors.EVENT_READ)
            while not self._closing:
                ready = {key.fileobj for key, _ in selector.select()}
                if wake_read in ready:
                    wake_read.recv(4096)
                if self._control in ready and not self._receive():
                    break
                self._reap()
        self._end()

    def _receive(self) -> bool:
        try:
            data = self._control.recv(65536)
        except OSError:
            return False
        self._buffer += data
        *lines, self._buffer = self._buffer.split(b"\n")
        for line in lines:
            self._execute(json.loads(line))
        return bool(data) and len(self._buffer) < LONGEST_COMMAND_BYTES

    def _execute(self, command: dict[str, Any]) -> None:
        match command["do"]:
            case "spawn":
                self._spawn(command)
            case "signal":
                server = self._servers.get(command["name"])
                if server is not None:
                    server.send_signal(command["signal"])
            case "scratch":
                self._scratch.append(command["folder"])

    def _spawn(self, command: dict[str, Any]) -> None:
        name = command["name"]
        try:
            log = os.open(command["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                server = subprocess.Popen(  # noqa: S603  # what the supervisor was given, as a list
                    command["argv"],
                    env=command["env"],
                    cwd=command["cwd"],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    user=command["uid"],
                    group=command["gid"],
                    extra_groups=None if command["uid"] is None else [],
                    preexec_fn=die_with(os.getpid()),
                )
            finally:
                os.close(log)
        except (OSError, subprocess.SubprocessError) as error:
            self._send({"event": "refused", "name": name, "error": str(error)})
            return
        self._servers[name] = server
        self._send({"event": "spawned", "name": name, "pid": server.pid})

    def _reap(self) -> None:
        for name, server in list(self._servers.items()):
            status = server.poll()
            if status is None:
                continue
            del self._servers[name]
            # Before the report, so that a restart does not meet orphans of its predecessor.
            self._end_orphans()
            self._send({"event": "exited", "name": name, "pid": server.pid, "status": status})

    def _end_orphans(self) -> None:
        """Kill the processes that a dead server left behind: adopted children, and their children."""
        deadline = time.monotonic() + ORPHANS_WITHIN_SECONDS
        while time.monotonic() < deadline:
            started = {server.pid for server in self._servers.values()}
            orphans = [pid for pid in children(os.getpid()) if pid not in started]
            if not orphans:
                return
            for pid in orphans:
                try:
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, os.WNOHANG)
                except (ProcessLookupError, ChildProcessError):
                    continue
            time.sleep(0.005)

    def _end(self) -> None:
        for server in self._servers.values():
            server.kill()
        for server in self._servers.values():
            try:
                server.wait(ORPHANS_WITHIN_SECONDS)
            except subprocess.TimeoutExpired:
                continue  # stuck in the kernel; it ends when the kernel lets it
        self._servers.clear()
        self._end_orphans()
        for scratch in map(Path, self._scratch):
            if scratch.is_dir():
                shutil.rmtree(scratch, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    scratch.unlink()

    def _send(self, event: dict[str, Any]) -> None:
        try:
            self._control.sendall(json.dumps(event).encode() + b"\n")
        except OSError:
            self._closing = True


if __name__ == "__main__":
    Reaper(socket.socket(fileno=int(sys.argv[1]))).run()
