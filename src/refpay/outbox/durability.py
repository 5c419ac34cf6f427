"""Read from NATS monitoring whether JetStream syncs what it acknowledges to disk."""

import json
from typing import Final

import aiohttp
import nats.errors

SETTING: Final = "sync_interval"
NEEDED: Final = "always"
_ANSWER_SECONDS: Final = 2.0
_ANSWER_MAXIMUM_BYTES: Final = 64 * 1024
_NANOSECONDS: Final = 1_000_000_000


class SyncRefused(nats.errors.Error):
    """JetStream acknowledges messages that are not on disk, or its setting is not known.

    Nothing is published to it.
    """


async def read_sync_interval(monitoring_url: str) -> str:
    """Return `always`, or how long an acknowledged message may be missing on disk.

    Raises OSError or TimeoutError if the endpoint does not answer as NATS does.
    """
    timeout = aiohttp.ClientTimeout(total=_ANSWER_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"{monitoring_url}/jsz") as answer,
        ):
            config = json.loads(await answer.content.read(_ANSWER_MAXIMUM_BYTES)).get("config", {})
            if config.get("sync_always") is True:
                return NEEDED
            return f"{config['sync_interval'] / _NANOSECONDS:g}s"
    except (aiohttp.ClientError, ValueError, LookupError, AttributeError, TypeError) as problem:
        raise OSError(f"NATS monitoring does not answer: {type(problem).__name__}") from problem


async def require_synced(monitoring_url: str) -> None:
    """Raise SyncRefused if the setting is not known to be safe."""
    try:
        found = await read_sync_interval(monitoring_url)
    except (OSError, TimeoutError) as problem:
        raise SyncRefused(
            f"{SETTING} of JetStream is not known: {monitoring_url} does not answer"
        ) from problem
    if found != NEEDED:
        raise SyncRefused(f"{SETTING} of JetStream is {found}, needed: {NEEDED}")
