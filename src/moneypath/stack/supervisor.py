"""Start the servers of one stack, watch them, and stop them in reverse order on every exit."""

import asyncio
import contextlib
import signal
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    retry_if_result,
    stop_after_delay,
    wait_fixed,
)

from moneypath.stack import memory, ports
from moneypath.stack.errors import (
    FolderUnwritable,
    ReaperLost,
    ServerDied,
    ServerNotReady,
    StackError,
    death_hint,
)
from moneypath.stack.folders import make_private
from moneypath.stack.log_tail import read_tail
from moneypath.stack.reaper_link import REAPER_SCRIPT, ReaperLink
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

    They are stopped in reverse order of their first start when the block ends: normally, by an exception, by
    Ctrl-C, or by SIGTERM or SIGHUP. Those two cancel the block and, after the stop, end the process with
    128 + signal. A second signal kills the servers at once. If this process itself is killed, its reaper (see
    reaper.py) kills all servers at once, including their children.
    """

    def __init__(self, run_folder: Path, *, reaper_script: Path = REAPER_SCRIPT) -> None:
        self._run_folder = run_folder
        self._reaper_script = reaper_script
        self._servers: dict[str, _Server] = {}
        self._deaths: asyncio.Queue[StackError] = asyncio.Queue()
        self._termination = Termination()
        self._link: ReaperLink | None = None

    async def __aenter__(self) -> Self:
        logs = self._run_folder / "logs"
        try:
            make_private(logs)
            (logs / "reaper.log").touch(mode=0o600)
        except OSError as error:
            raise FolderUnwritable(
                f"folder not writable: {self._run_folder} ({error.strerror})",
                hint="Choose a run folder that you own, on a disk that is not full or read-only.",
            ) from error
        self._termination.__enter__()
        try:
            self._link = await ReaperLink.open(
                logs / "reaper.log", self._note_exit, self._note_end, self._reaper_script
            )
        except BaseException:
            self._termination.__exit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        link = self._reaper()
        closing = asyncio.create_task(self._close(), name="supervisor-close")
        try:
            await asyncio.shield(closing)
        except asyncio.CancelledError:
            link.close_now()  # asked a second time: no more patience
            await asyncio.wait((closing,))
            if self._termination.received is None:
                raise
        finally:
            self._termination.__exit__(None, None, None)
        received = self._termination.received
        if received is not None and (error is None or isinstance(error, asyncio.CancelledError)):
            raise SystemExit(128 + received)

    async def start(self, spec: ServerSpec) -> None:
        """Start a server and wait until its readiness probe succeeds.

        Raises PortTaken, ServerNotStarted, ServerDied or ServerNotReady; then the server does not run.
        """
        current = self._servers.get(spec.name)
        if current is not None and current.running:
            raise ValueError(f"server runs already: {spec.name}")
        # Assigning an existing key keeps its place, so a restart does not change the order of stopping.
        server = self._servers[spec.name] = _Server(spec)
        async with server.lock:
            await self._launch(server)

    async def stop(self, name: str) -> None:
        """Stop a server with its stop signal and, after its grace period, with SIGKILL; do nothing if it is
        down.
        """
        server = self._named(name)
        async with server.lock:
            await self._halt(server, server.spec.stop_signal, server.spec.stop_grace_seconds)

    async def kill(self, name: str) -> None:
        """Kill a server with SIGKILL, as in a crash, and wait until it and its children are gone."""
        server = self._named(name)
        async with server.lock:
            await self._halt(server, signal.SIGKILL, _KILL_WITHIN_SECONDS)

    async def restart(self, name: str) -> None:
        """Start a server again with the same specification; stop it first if it runs."""
        await self.stop(name)
        await self.start(self._named(name).spec)

    async def watch(self) -> NoReturn:
        """Wait until a server ends that nobody stopped, then raise ServerDied (or ReaperLost)."""
        raise await self._deaths.get()

    def remove_at_end(self, path: Path) -> None:
        """Have a file or folder removed after the last server has ended, even if this process is killed."""
        self._reaper().remove_at_end(path)

    def pids(self) -> dict[str, int]:
        """Return the process id of every running server."""
        return {name: server.pid for name, server in self._servers.items() if server.pid and server.running}

    @property
    def reaper_pid(self) -> int:
        """Return the process id of the reaper, the parent of every server."""
        return self._reaper().pid

    def memory(self) -> dict[str, memory.MemoryReading]:
        """Measure the memory of every server's process tree, and of the reaper."""
        return memory.read_trees({**self.pids(), "reaper": self.reaper_pid})

    def pss_bytes(self) -> dict[str, int]:
        """Return the memory of every server whose whole tree could be read; a server that could not is left
        out.

        `memory()` reports what could not be read.
        """
        return {name: each.pss_bytes for name, each in self.memory().items() if not each.unreadable}

    def log_file(self, name: str) -> Path:
        """Return the file to which a server's output is appended."""
        return self._run_folder / "logs" / f"{name}.log"

    async def _launch(self, server: _Server) -> None:
        spec = server.spec
        if spec.port is not None and not ports.is_free(spec.port):
            raise ports.port_taken(spec.name, spec.port)
        if spec.before_start is not None:
            spec.before_start()
        link = self._reaper()
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

        async def probe() -> bool:
            async with asyncio.timeout(min(_PROBE_WITHIN_SECONDS, spec.ready_within_seconds)):
                return await spec.ready() and server.running

        async def sleep_unless_exited(seconds: float) -> None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(server.exited), seconds)
            if server.exited.done():
                raise self._died(server, server.exited.result(), was_ready=False)

        def give_up(state: RetryCallState) -> NoReturn:
            log_lines = read_tail(self.log_file(spec.name))
            answer = _last_answer(state)
            raise ServerNotReady(spec.name, spec.ready_within_seconds, answer, log_lines, hint=spec.hint)

        await AsyncRetrying(
            retry=retry_if_result(lambda ready: not ready) | retry_if_exception_type((OSError, TimeoutError)),
            wait=wait_fixed(_PROBE_EVERY_SECONDS),
            stop=stop_after_delay(spec.ready_within_seconds),
            sleep=sleep_unless_exited,
            retry_error_callback=give_up,
        )(probe)
        server.expected = False

    async def _halt(self, server: _Server, number: int, grace_seconds: float) -> None:
        server.expected = True
        if not server.running:
            return
        link = self._reaper()
        for each, seconds in ((number, grace_seconds), (signal.SIGKILL, _KILL_WITHIN_SECONDS)):
            with contextlib.suppress(ReaperLost):
                link.signal(server.spec.name, each)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(server.exited), seconds)
                return
        raise StackError(
            f"server not stopped: {server.spec.name} (process {server.pid}) survived SIGKILL",
            hint="Check `dmesg`: the process hangs in the kernel, often on a disk that does not answer.",
        )

    async def _close(self) -> None:
        link = self._reaper()
        try:
            for name in reversed(self._servers):
                with contextlib.suppress(StackError):  # the reaper ends what is left
                    await self.stop(name)
        finally:
            await link.close()

    def _note_exit(self, name: str, pid: int, status: int) -> None:
        server = self._servers.get(name)
        if server is None or server.exited.done() or server.pid not in (None, pid):
            return
        server.exited.set_result(status)
        if not server.expected:
            self._deaths.put_nowait(self._died(server, status, was_ready=True))

    def _note_end(self, expected: bool) -> None:
        for server in self._servers.values():
            server.expected = True
            if not server.exited.done():
                server.exited.set_result(-signal.SIGKILL)
        if not expected:
            self._deaths.put_nowait(
                ReaperLost(
                    "reaper lost: the process that owns the servers ended, and every server with it",
                    hint=f"Read {self.log_file('reaper')}, then start the stack again.",
                )
            )

    def _died(self, server: _Server, status: int, *, was_ready: bool) -> StackError:
        spec, lines = server.spec, read_tail(self.log_file(server.spec.name))
        in_use = any("address already in use" in line.lower() for line in lines)
        if in_use and not was_ready and spec.port is not None:
            return ports.port_taken(spec.name, spec.port)
        log = self.log_file(spec.name)
        # What the specification says is for a start that failed, its configuration mostly.
        hint = death_hint(spec.name, status, log) if was_ready else spec.hint or f"Read {log}."
        return ServerDied(spec.name, status, lines, hint=hint)

    def _named(self, name: str) -> _Server:
        try:
            return self._servers[name]
        except KeyError:
            raise ValueError(
                f"unknown server: {name}; started: {', '.join(self._servers) or 'none'}"
            ) from None

    def _reaper(self) -> ReaperLink:
        if self._link is None:
            raise RuntimeError("supervisor not entered: use `async with Supervisor(...)`")
        return self._link


def _last_answer(state: RetryCallState) -> str:
    problem = state.outcome.exception() if state.outcome is not None else None
    if problem is None:
        return "not ready"
    return str(problem) or type(problem).__name__
