"""The supervisor's end of the socket to its keeper."""

import asyncio
import contextlib
import json
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from moneypath.stack.errors import KeeperLost, ServerNotStarted
from moneypath.stack.server import ServerSpec

KEEPER_SCRIPT = Path(__file__).with_name("keeper.py")
_ANSWER_WITHIN_SECONDS = 15.0
_END_WITHIN_SECONDS = 15.0
_BASE_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "TZ": "UTC"}


class KeeperLink:
    """Sends commands to the keeper and delivers its reports.

    `on_exit(name, pid, status)` is called for every server that ended, and `on_end(expected)` once, when the
    keeper itself is gone; `expected` is false if nobody closed it.
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
        self._listener = asyncio.create_task(self._listen(), name="keeper-link")

    @classmethod
    async def open(
        cls,
        log: Path,
        on_exit: Callable[[str, int, int], None],
        on_end: Callable[[bool], None],
        script: Path = KEEPER_SCRIPT,
    ) -> "KeeperLink":
        """Start a keeper; it ends when this process ends, however that happens."""
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
        """Return the keeper's own process id."""
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
            raise ServerNotStarted(f"server not started: {spec.name}: its keeper gave no answer") from None
        finally:
            self._answers.pop(spec.name, None)

    def signal(self, name: str, number: int) -> None:
        """Send a signal to a server; one that ended already is left alone."""
        self._send({"do": "signal", "name": name, "signal": int(number)})

    def remove_at_end(self, folder: Path) -> None:
        """Have the keeper remove a file or folder when the stack ends, even by SIGKILL."""
        self._send({"do": "scratch", "folder": str(folder)})

    async def close(self) -> None:
        """End the keeper, and with it whatever still runs."""
        self.hang_up()
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

    def hang_up(self) -> None:
        """Take no more commands: the keeper kills what still runs, at once, and ends."""
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


def _lost() -> KeeperLost:
    return KeeperLost(
        "keeper lost: the process that owns the servers ended, and every server with it",
        hint="See logs/keeper.log in the run folder; start the stack again.",
    )
