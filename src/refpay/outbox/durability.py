"""Read from NATS monitoring whether JetStream syncs what it acknowledges to disk."""

from typing import Final

import nats.errors

from refpay.outbox.nats_monitoring import read_monitoring

SETTING: Final = "sync_interval"
NEEDED: Final = "always"
_NANOSECONDS: Final = 1_000_000_000


class SyncRefused(nats.errors.Error):
    """JetStream acknowledges messages that are not on disk, or its setting is not known.

    Nothing is published to it.
    """


async def read_sync_interval(monitoring_url: str) -> str:
    """Return `always`, or how long an acknowledged message may be missing on disk.

    Raises OSError or TimeoutError if the endpoint does not answer as NATS does.
    """
    answer = await read_monitoring(f"{monitoring_url}/jsz")
    try:
        config = answer.get("config", {})
        if config.get("sync_always") is True:
            return NEEDED
        return f"{config['sync_interval'] / _NANOSECONDS:g}s"
    except (LookupError, AttributeError, TypeError) as problem:
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
