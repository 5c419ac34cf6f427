"""The outages: which server is taken away, how, and for how long."""

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import psutil
from proofs.outages.errors import OutageFailed
from proofs.outages.small_disk import SmallDisk
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_fixed

from moneypath.stack.errors import ServerDied, ServerNotReady
from moneypath.stack.supervisor import Supervisor

_FILL_EVERY_SECONDS: Final = 0.2
_START_AGAIN_SECONDS: Final = 0.5
_START_AGAIN_WITHIN_SECONDS: Final = 120.0
_STOPPED_WITHIN_SECONDS: Final = 5.0


class Server(StrEnum):
    """The servers that are taken away, by their names in the stack."""

    POSTGRES = "postgres"
    NATS = "nats"
    PROMETHEUS = "prometheus"
    ALERTMANAGER = "alertmanager"


class Way(StrEnum):
    """How a server is taken away.

    A frozen one keeps its sockets and answers nothing, as on a host that hangs. A stopped one is gone.
    """

    FROZEN = "frozen"
    STOPPED = "stopped"
    DISK_FULL = "disk full"


@dataclass(frozen=True, slots=True)
class Outage:
    """One outage. One of the alerts of `pages` has to page; without any, nothing may.

    Payments go on meanwhile if `pays`.
    """

    server: Server
    way: Way
    seconds: float
    pages: frozenset[str] = frozenset()
    pays: bool = True

    @property
    def name(self) -> str:
        """Return the outage in words."""
        return f"{self.server} {self.way}"


@contextlib.asynccontextmanager
async def taken_away(outage: Outage, supervisor: Supervisor, disk: SmallDisk | None) -> AsyncIterator[None]:
    """Take a server away while the block runs; raises OutageFailed if it cannot be done."""
    match outage.way:
        case Way.FROZEN:
            with _frozen(supervisor.pids()[outage.server]):
                yield
        case Way.STOPPED:
            await supervisor.stop(outage.server)
            try:
                yield
            finally:
                await start_again(supervisor, outage.server)
        case Way.DISK_FULL:
            if disk is None:
                raise OutageFailed(f"{outage.name}: no disk was mounted")
            async with _full(disk):
                yield


async def start_again(supervisor: Supervisor, name: str) -> None:
    """Start a server again as often as a process manager would, bounded; raises its error at last."""
    await AsyncRetrying(
        retry=retry_if_exception_type((ServerDied, ServerNotReady)),
        stop=stop_after_delay(_START_AGAIN_WITHIN_SECONDS),
        wait=wait_fixed(_START_AGAIN_SECONDS),
        reraise=True,
    )(supervisor.restart, name)


@contextlib.contextmanager
def _frozen(pid: int) -> Iterator[None]:
    """Stop a process and its children without ending them."""
    parent = psutil.Process(pid)
    family = [parent]
    try:
        # The parent first: from then on it begets no more.
        _signal(family, signal.SIGSTOP)
        family += parent.children(recursive=True)
        _signal(family, signal.SIGSTOP)
        _require_stopped(family)
        yield
    finally:
        _signal(family[::-1], signal.SIGCONT)


def _signal(family: Iterable[psutil.Process], number: signal.Signals) -> None:
    for each in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.send_signal(number)


def _require_stopped(family: Iterable[psutil.Process]) -> None:
    """Wait until the kernel has stopped each; a fault that is not there proves nothing."""
    deadline = time.monotonic() + _STOPPED_WITHIN_SECONDS
    for each in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            while each.status() not in {psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE}:
                if time.monotonic() > deadline:
                    raise OutageFailed(f"process {each.pid} goes on in spite of SIGSTOP")


@contextlib.asynccontextmanager
async def _full(disk: SmallDisk) -> AsyncIterator[None]:
    """Keep a disk full: what its server gives back is taken again."""

    async def keep_full() -> None:
        while True:
            await asyncio.to_thread(disk.fill)
            await asyncio.sleep(_FILL_EVERY_SECONDS)

    await asyncio.to_thread(disk.fill)
    filling = asyncio.create_task(keep_full())
    try:
        yield
    finally:
        filling.cancel()
        await asyncio.wait({filling})
        disk.free()
