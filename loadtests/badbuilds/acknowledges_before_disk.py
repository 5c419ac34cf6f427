"""A bad build of refpay: it answers before PostgreSQL has written the commit to disk.

`synchronous_commit` is off in its sessions, and the check of durable settings is skipped. Nothing shows until
the database crashes and loses acknowledged payments. It is never part of the product.
"""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from loadtests.badbuilds.wiring import replace, serve

from refpay.app import services as root
from refpay.db import pool


def disable_synchronous_commit(settings: Mapping[str, str]) -> Mapping[str, str]:
    """Return session settings under which COMMIT does not wait for the disk."""
    return {**settings, "synchronous_commit": "off"}


def skip_durability_check(_: Any) -> Callable[..., Coroutine[Any, Any, None]]:
    """Return a durability check that accepts everything."""

    async def find_nothing(*_: Any) -> None:
        return None

    return find_nothing


if __name__ == "__main__":
    replace(pool, "_SERVER_SETTINGS", disable_synchronous_commit)
    replace(root, "require_durable", skip_durability_check)
    serve()
