"""The wallet's starter: an entry point of `moneypath.stacks`."""

import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from moneypath.stack.folders import private_files
from moneypath.stack.ports import PortPool
from moneypath.stack.starters import Announce, Build, LiveStack, LiveStackSettings
from moneypath.stack.supervisor import Supervisor
from moneypath.workflows.server_deaths import unless_server_dies
from wallet_stack.servers import API, WORKER, WalletBuilder

REMOVED_AT_END: Final = (
    "secrets",
    "postgres",
    "checks",
    "witnesses",
    "banks",
    "bin",
    "lost",
    "endpoints.json",
)
BUILD: Final = Build(api="wallet.api", worker="wallet.worker")


@dataclass(frozen=True, slots=True)
class WalletStarter:
    """Starts the wallet, its banks and its monitoring."""

    build: Build = BUILD
    build_servers: tuple[str, ...] = (API, WORKER)

    def running(
        self, settings: LiveStackSettings, announce: Announce
    ) -> AbstractAsyncContextManager[LiveStack]:
        """Start everything, yield it, and stop it in order however the block is left."""
        return _running(settings, announce)


STARTER: Final = WalletStarter()


@asynccontextmanager
async def _running(settings: LiveStackSettings, announce: Announce) -> AsyncIterator[LiveStack]:
    with private_files(), PortPool() as ports:
        async with Supervisor(settings.run_folder) as supervisor:
            for name in REMOVED_AT_END:
                supervisor.remove_at_end(settings.run_folder / name)
            builder = WalletBuilder(settings, ports, supervisor, announce, python=sys.executable)
            yield await unless_server_dies(supervisor, builder.start(BUILD))
