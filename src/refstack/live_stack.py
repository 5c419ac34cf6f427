"""The reference stack's starter: the whole money path, live, and nothing left of it afterwards."""

import contextlib
import shutil
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from moneypath.stack.endpoints import FILE_NAME as ENDPOINTS_FILE
from moneypath.stack.folders import private_files
from moneypath.stack.ports import PortPool
from moneypath.stack.starters import Announce, Build, LiveStack, LiveStackSettings
from moneypath.stack.supervisor import Supervisor
from moneypath.workflows.server_deaths import unless_server_dies
from refstack.credentials import mint
from refstack.servers import API, BUILD, WORKER, StackBuilder

# What a stopped stack must not leave: secrets, the database, messages, addresses. Evidence stays.
REMOVED_AT_END: Final = ("secrets", "postgres", "nats", ENDPOINTS_FILE)


@contextlib.asynccontextmanager
async def running_stack(settings: LiveStackSettings, announce: Announce) -> AsyncIterator[LiveStack]:
    """Start everything, yield it, and stop it in order however the block is left.

    Raises what the stack raises: a missing binary, a taken port, an unwritable folder, a server that dies.
    """
    path, folder = settings.path, settings.run_folder
    with private_files():
        credentials = mint(folder / "secrets", providers=path.provider_ids(), roles=path.paged_roles())
        try:
            with PortPool() as ports:
                async with Supervisor(folder) as supervisor:
                    for name in REMOVED_AT_END:
                        supervisor.remove_at_end(folder / name)
                    async with contextlib.AsyncExitStack() as tasks:
                        builder = StackBuilder(settings, credentials, ports, supervisor, announce, tasks)
                        yield await unless_server_dies(supervisor, builder.build())
        finally:
            _remove_leftovers(folder)


@dataclass(frozen=True, slots=True)
class ReferenceStarter:
    """Starts the reference payment service, with the providers of the declaration simulated."""

    build: Build = BUILD
    build_servers: tuple[str, ...] = (API, WORKER)

    def running(
        self, settings: LiveStackSettings, announce: Announce
    ) -> AbstractAsyncContextManager[LiveStack]:
        """Start everything, yield it, and stop it in order however the block is left."""
        return running_stack(settings, announce)


REFERENCE: Final = ReferenceStarter()


def _remove_leftovers(folder: Path) -> None:
    """Remove what is left when even the supervisor could not be started."""
    for name in REMOVED_AT_END:
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / ENDPOINTS_FILE).unlink(missing_ok=True)
