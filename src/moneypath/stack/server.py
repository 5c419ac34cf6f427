"""The specification of a server: how to start it, see that it is ready, and stop it."""

import re
import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

Probe = Callable[[], Awaitable[bool]]
"""Answers whether the server is ready; may raise OSError or TimeoutError for "not yet"."""

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSpec:
    """One server. `env` is added to a minimal environment and may contain secrets, so it is left out of the
    repr.

    `port` must be free before the start. `before_start` runs before each start, including restarts. `scratch`
    folders are removed when the stack ends, not when the server ends.
    """

    name: str
    command: tuple[str, ...]
    ready: Probe
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    cwd: Path | None = None
    port: int | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_grace_seconds: float = 10.0
    ready_within_seconds: float = 30.0
    uid: int | None = None
    gid: int | None = None
    hint: str = ""
    before_start: Callable[[], None] | None = None
    scratch: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"server name: {self.name!r}; allowed: {_NAME.pattern}")


def http_ready(url: str, *, timeout_seconds: float = 2.0) -> Probe:
    """Return a probe that expects status 200 of a health endpoint; proxy settings are ignored."""

    async def probe() -> bool:
        timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        try:
            async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as answer:
                return answer.status == 200
        except aiohttp.ClientError as error:
            raise OSError(str(error)) from error

    return probe
