"""One supervisor a stack: it starts servers, watches them, and stops them in reverse order on every exit."""

import asyncio
import contextlib
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

from moneypath.stack import memory, ports
from moneypath.stack.errors import (
    FolderUnwritable,
    KeeperLost,
    ServerDied,
    ServerNotReady,
    StackError,
)
from moneypath.stack.keeper_link import KEEPER_SCRIPT, KeeperLink
from moneypath.stack.log_tail import read_tail
from moneypath.stack.server import ServerSpec
from moneypath.stack.termination import Termination

_PROBE_EVERY_SECONDS = 0.05
_PROBE_WITHIN_SECONDS = 5.0
_KILL_WITHIN_SECONDS = 10.0


@dataclass(slots=True)
class _Server:
    spec: ServerSpec
    pid: int | None = None
    exited: asyncio.Future[int] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    expected: bool = True  # False only between being ready and being stopped: a death then is news
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def running(self) -> bool:
        return self.pid is not None and not self.exited.done()


class Supervisor:
    """Owns real servers as child processes for as long as its `async with` block lasts.

    They are stopped in reverse order of their first start when the block ends: by itself, by an
    exception, by Ctrl-C, by SIGTERM or SIGHUP (which cancel the block and, after the stop, end the process
    with 128 + signal). A second signal stops the politeness. If this process is killed outright, its
    keeper (see keeper.py) kills all of them at once, grandchildren included.
    """

    def __init__(self, run_folder: Path, *, keeper_script: Path = KEEPER_SCRIPT) -> None:
        self._run_folder = run_folder
        self._keeper_script = keeper_script
        self._servers: dict[str, _Server] = {}
        self._deaths: asyncio.Queue[StackError] = asyncio.Queue()
        self._termination = Termination()
        self._link: KeeperLink | None = None

    async def __aenter__(self) -> Self:
        logs = self._run_folder / "logs"
        try:
            logs.mkdir(parents=True, exist_ok=True)
            (logs / "keeper.log").touch()
        except OSError as error:
            raise FolderUnwritable(
                f"folder not writable: {self._run_folder} ({error.strerror})",
                hint="Choose a run folder that you own, on a disk that is not full or read-only.",
            ) from error
        self._termination.__enter__()
        try:
            self._link = await KeeperLink.open(
                logs / "keeper.log", self._note_exit, self._note_end, self._keeper_script
            )
        except BaseException:
            self._termination.__exit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        link = self._keeper()
        closing = asyncio.create_task(self._close(), name="supervisor-close")
        try:
            await asyncio.shield(closing)
        except asyncio.CancelledError:
            link.hang_up()  # asked a second time: no more patience
            await asyncio.wait((closing,))
            if self._termination.received is None:
                raise
        finally:
            self._termination.__exit__(None, None, None)
        received = self._termination.received
        if received is not None and (error is None or isinstance(error, asyncio.CancelledError)):
            raise SystemExit(128 + received)

    async def start(self, spec: ServerSpec) -> None:
        """Start a server and wait until its own health endpoint answers.

        Raises PortTaken, ServerNotStarted, ServerDied or ServerNotReady; then the server is not running.
        """
        current = self._servers.get(spec.name)
        if current is not None and current.running:
            raise ValueError(f"server runs already: {spec.name}")
        # Assigning an existing key keeps its place, so a restart does not change the order of the stop.
        server = self._servers[spec.name] = _Server(spec)
        async with server.lock:
            await self._launch(server)

    async def stop(self, name: str) -> None:
        """Stop a server: its stop signal, its grace, then SIGKILL. One that is down is left alone."""
        server = self._named(name)
        async with server.lock:
            await self._halt(server, server.spec.stop_signal, server.spec.stop_grace_seconds)

    async def kill(self, name: str) -> None:
        """Kill a server with SIGKILL, as a crash would, and wait until it and its children are gone."""
        server = self._named(name)
        async with server.lock:
            await self._halt(server, signal.SIGKILL, _KILL_WITHIN_SECONDS)

    async def restart(self, name: str) -> None:
        """Start a server again with the same specification; one that still runs is stopped first."""
        await self.stop(name)
        await self.start(self._named(name).spec)

    async def watch(self) -> NoReturn:
        """Wait until a server ends that nobody stopped, then raise ServerDied (or KeeperLost)."""
        raise await self._deaths.get()

    def remove_at_end(self, path: Path) -> None:
        """Have a file or folder removed after the last server ended, even if this process is killed."""
        self._keeper().remove_at_end(path)

    def pids(self) -> dict[str, int]:
        """Return the process id of every running server."""
        return {name: server.pid for name, server in self._servers.items() if server.pid and server.running}

    @property
    def keeper_pid(self) -> int:
        """Return the process id of the keeper, the parent of every server."""
        return self._keeper().pid

    def memory(self) -> dict[str, memory.MemoryReading]:
        """Read the proportional set size of every server's whole tree, and of the keeper."""
        return memory.read_trees({**self.pids(), "keeper": self.keeper_pid})

    def pss_bytes(self) -> dict[str, int]:
        """Return the memory of every server whose whole tree could be read; unknown is absent, never 0.

        `memory()` says what could not be read.
        """
        return {name: each.pss_bytes for name, each in self.memory().items() if not each.unreadable}

    def log_file(self, name: str) -> Path:
        """Return where a server's output is appended."""
        return self._run_folder / "logs" / f"{name}.log"

    async def _launch(self, server: _Server) -> None:
        spec = server.spec
        if spec.port is not None and not ports.is_free(spec.port):
            raise ports.port_taken(spec.name, spec.port)
        if spec.before_start is not None:
            spec.before_start()
        link = self._keeper()
        for folder in spec.scratch:
            link.remove_at_end(folder)
        try:
            server.pid = await link.spawn(spec, self.log_file(spec.name))
        except StackError as error:
            error.hint = error.hint or spec.hint
            raise
        try:
            await self._await_ready(server)
        except BaseException:
            await self._halt(server, signal.SIGKILL, _KILL_WITHIN_SECONDS)
            raise

    async def _await_ready(self, server: _Server) -> None:
        spec = server.spec
        deadline = time.monotonic() + spec.ready_within_seconds
        answer = "nothing yet"
        while time.monotonic() < deadline:
            try:
                async with asyncio.timeout(min(_PROBE_WITHIN_SECONDS, spec.ready_within_seconds)):
                    if await spec.ready() and server.running:
                        server.expected = False
                        return
                answer = "not ready"
            except (OSError, TimeoutError) as error:
                answer = str(error) or type(error).__name__
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(server.exited), _PROBE_EVERY_SECONDS)
            if server.exited.done():
                raise self._died(server, server.exited.result())
        raise ServerNotReady(
            spec.name, spec.ready_within_seconds, answer, read_tail(self.log_file(spec.name)), hint=spec.hint
        )

    async def _halt(self, server: _Server, number: int, grace_seconds: float) -> None:
        server.expected = True
        if not server.running:
            return
        link = self._keeper()
        for each, seconds in ((number, grace_seconds), (signal.SIGKILL, _KILL_WITHIN_SECONDS)):
            with contextlib.suppress(KeeperLost):
                link.signal(server.spec.name, each)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(server.exited), seconds)
                return
        raise StackError(
            f"server not stopped: {server.spec.name} (process {server.pid}) survived SIGKILL",
            hint="It hangs in the kernel, often on a disk that does not answer; check `dmesg`.",
        )

    async def _close(self) -> None:
        link = self._keeper()
        try:
            for name in reversed(self._servers):
                with contextlib.suppress(StackError):  # the keeper ends what is left
                    await self.stop(name)
        finally:
            await link.close()

    def _note_exit(self, name: str, pid: int, status: int) -> None:
        server = self._servers.get(name)
        if server is None or server.exited.done() or server.pid not in (None, pid):
            return
        server.exited.set_result(status)
        if not server.expected:
            self._deaths.put_nowait(self._died(server, status))

    def _note_end(self, expected: bool) -> None:
        for server in self._servers.values():
            server.expected = True
            if not server.exited.done():
                server.exited.set_result(-signal.SIGKILL)
        if not expected:
            self._deaths.put_nowait(
                KeeperLost(
                    "keeper lost: the process that owns the servers ended, and every server with it",
                    hint=f"See {self.log_file('keeper')}; start the stack again.",
                )
            )

    def _died(self, server: _Server, status: int) -> StackError:
        spec, lines = server.spec, read_tail(self.log_file(server.spec.name))
        if spec.port is not None and any("address already in use" in line.lower() for line in lines):
            return ports.port_taken(spec.name, spec.port)
        return ServerDied(spec.name, status, lines, hint=spec.hint or f"Read {self.log_file(spec.name)}.")

    def _named(self, name: str) -> _Server:
        try:
            return self._servers[name]
        except KeyError:
            raise ValueError(
                f"unknown server: {name}; started: {', '.join(self._servers) or 'none'}"
            ) from None

    def _keeper(self) -> KeeperLink:
        if self._link is None:
            raise RuntimeError("supervisor not entered: use `async with Supervisor(...)`")
        return self._link
