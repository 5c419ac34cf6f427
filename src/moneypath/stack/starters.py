"""The port to what starts a stack, which a package of its own brings: entry points of `moneypath.stacks`."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

from moneypath.path.model import MoneyPath
from moneypath.stack.endpoints import Endpoints
from moneypath.stack.errors import StarterUnavailable
from moneypath.stack.supervisor import Supervisor

GROUP: Final = "moneypath.stacks"
CHOICE_VARIABLE: Final = "MONEYPATH_STARTER"

Announce = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Build:
    """The service to run: two modules for `python -m`; `folder` is where Python finds them."""

    api: str
    worker: str
    folder: Path | None = None

    @property
    def environment(self) -> Mapping[str, str]:
        """Return the environment in which Python finds the modules."""
        return {} if self.folder is None else {"PYTHONPATH": str(self.folder)}


@dataclass(frozen=True, slots=True)
class LiveStackSettings:
    """What to run and where: `run_folder` holds all state of the run, `scale` shortens the alerts' windows.

    `events_per_second` is the expected load over all providers; the backfilled history has the same. Without
    a `build` the starter's own runs.
    """

    path: MoneyPath
    run_folder: Path
    scale: int
    events_per_second: int = 20
    build: Build | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveStack:
    """A running money path.

    `clamped` names the windows that the scale could not shorten fully, `not_dilated` what no scale changes.
    `build_servers` are those of `supervisor` that run the build.
    """

    endpoints: Endpoints
    supervisor: Supervisor
    build_servers: tuple[str, ...]
    clamped: tuple[str, ...] = ()
    not_dilated: tuple[str, ...] = ()


@runtime_checkable
class Starter(Protocol):
    """Starts stacks of one kind."""

    @property
    def build(self) -> Build:
        """Return the build that runs unless another is asked for."""

    @property
    def build_servers(self) -> tuple[str, ...]:
        """Return the names of the servers that run the build: their end is the build's."""

    def running(
        self, settings: LiveStackSettings, announce: Announce
    ) -> AbstractAsyncContextManager[LiveStack]:
        """Start everything, yield it, and stop it in order however the block is left.

        Raises MoneypathError, or a group of them, for what prevents it.
        """


def find_starter(name: str | None = None) -> Starter:
    """Return the starter `name`, or the only one that is installed; raises StarterUnavailable."""
    found = {point.name: point for point in entry_points(group=GROUP)}
    installed = ", ".join(sorted(found)) or "none"
    if name is not None and name not in found:
        raise StarterUnavailable(
            f"No starter of that name is installed: {name}.", hint=f"Installed in {GROUP}: {installed}."
        )
    if not found:
        raise StarterUnavailable(
            f"No starter of a stack is installed: {GROUP} has no entry point.",
            hint="Install the package that starts your servers into the environment of moneypath.",
        )
    if name is None and len(found) > 1:
        raise StarterUnavailable(
            f"Several starters of a stack are installed: {installed}.",
            hint=f"Choose one by --starter, or by {CHOICE_VARIABLE}.",
        )
    return _load(found[name] if name is not None else next(iter(found.values())))


def _load(point: EntryPoint) -> Starter:
    try:
        starter = point.load()
    except Exception as error:  # noqa: BLE001 - a package of others may fail in any way
        raise StarterUnavailable(
            f"The starter {point.name} cannot be loaded: {type(error).__name__}: {error}.",
            hint=f"Install what {point.value.partition(':')[0]} needs, or remove its package.",
        ) from None
    if not isinstance(starter, Starter):
        raise StarterUnavailable(
            f"The starter {point.name} is none: {point.value} lacks build, build_servers or running.",
            hint="See docs/guides/start-your-own-stack.md.",
        )
    return starter
