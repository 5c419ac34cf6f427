"""The supervisor's connection to its reaper."""

import asyncio
import contextlib
import json
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from moneypath.stack.errors import ReaperLost, ServerNotStarted
from moneypath.stack.server import ServerSpec

REAPER_SCRIPT = Path(__file__).with_name("reaper.py")
_ANSWER_WITHIN_SECONDS = 15.0
_END_WITHIN_SECONDS = 15.0
_BASE_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "TZ": "UTC"}


class ReaperLink:
    """Sends commands to the reaper and delivers its reports.

    `on_exit(name, pid, status)` is called for every server that ended, and `on_end(expected)` once when the
    reaper itself has ended; `expected` is false if nobody closed it.
    """

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        on_exit: Callable[[str, int, int], None],
        on_end: Callable[[bool], None],
    ) -> None:
        self._process = process
        self._reader, self._writer = streams
        self._on_exit = on_exit
        self._on_end = on_end
        self._answers: dict[str, asyncio.Future[int]] = {}
        self._closing = False
        self._listener = asyncio.create_task(self._listen(), name="reaper-link")

    @classmethod
    async def open(
        cls,
        log: Path,
        on_exit: Callable[[str, int, int], None],
        on_end: Callable[[bool], None],
        script: Path = REAPER_SCRIPT,
    ) -> "ReaperLink":
        """Start a reaper. It ends when this process ends, for any reason."""
        ours, theirs = socket.socketpair()
        with theirs, log.open("ab") as log_file:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-I",
                str(script),
                str(theirs.fileno()),
                pass_fds=[theirs.fileno()],
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log_file,
                stderr=log_file,
                start_new_session=True,  # Ctrl-C in a terminal reaches the supervisor alone
                env=_BASE_ENVIRONMENT,
            )
        streams = await asyncio.open_connection(sock=ours)
        return cls(process, streams, on_exit, on_end)

    @property
    def pid(self) -> int:
        """Return the process id of the reaper."""
        return self._process.pid

    async def spawn(self, spec: ServerSpec, log: Path) -> int:
        """Start the server's process and return its id."""
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._answers[spec.name] = answer
        self._send(
            {
                "do": "spawn",
                "name": spec.name,
                "argv": list(spec.command),
                "env": {**_BASE_ENVIRONMENT, **spec.env},
                "cwd": None if spec.cwd is None else str(spec.cwd),
                "log": str(log),
                "uid": spec.uid,
                "gid": spec.gid,
            }
        )
        try:
            async with asyncio.timeout(_ANSWER_WITHIN_SECONDS):
                return await answer
        except TimeoutError:
            raise ServerNotStarted(f"server not started: {spec.name}: its reaper gave no answer") from None
        finally:
            self._answers.pop(spec.name, None)

    def signal(self, name: str, number: int) -> None:
        """Send a signal to a server, unless it has ended."""
        self._send({"do": "signal", "name": name, "signal": int(number)})

    def remove_at_end(self, folder: Path) -> None:
        """Have the reaper remove a file or folder when the stack ends, even after SIGKILL."""
        self._send({"do": "scratch", "folder": str(folder)})

    async def close(self) -> None:
        """End the reaper and all servers that still run."""
        self.close_now()
        try:
            async with asyncio.timeout(_END_WITHIN_SECONDS):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._listener
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    def close_now(self) -> None:
        """Close the connection: the reaper kills all remaining servers at once, and ends."""
        if not self._closing:
            self._closing = True
            with contextlib.suppress(OSError):
                self._writer.write_eof()

    def _send(self, command: dict[str, Any]) -> None:
        if self._closing or self._writer.is_closing():
            raise _lost()
        self._writer.write(json.dumps(command).encode() + b"\n")

    async def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while line := await self._reader.readline():
                self._handle(json.loads(line))
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(_lost())
        expected, self._closing = self._closing, True
        self._on_end(expected)

    def _handle(self, event: dict[str, Any]) -> None:
        name = event["name"]
        if event["event"] == "exited":
            self._on_exit(name, event["pid"], event["status"])
            return
        answer = self._answers.get(name)
        if answer is None or answer.done():
            return
        if event["event"] == "spawned":
            answer.set_result(event["pid"])
        else:
            answer.set_exception(ServerNotStarted(f"server not started: {name}: {event['error']}"))


def _lost() -> ReaperLost:
    return ReaperLost(
        "reaper lost: the process that owns the servers ended, and every server with it",
        hint="Read logs/reaper.log in the run folder, then start the stack again.",
    )
