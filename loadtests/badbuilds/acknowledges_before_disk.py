"""A bad build of refpay: it answers before PostgreSQL has written its commit down.

`synchronous_commit` is off in its sessions, and it does not look at what it could lose. Nothing shows while
all goes well; a crash of the database takes back what customers were told. Never part of the product.
"""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from loadtests.badbuilds.wiring import replace, serve

from refpay.app import services as root
from refpay.db import pool


def hasten(settings: Mapping[str, str]) -> Mapping[str, str]:
    """Return a session's settings under which COMMIT does not wait."""
    return {**settings, "synchronous_commit": "off"}


def look_away(_: Any) -> Callable[..., Coroutine[Any, Any, None]]:
    """Return a check of durability that finds nothing."""

    async def find_nothing(*_: Any) -> None:
        return None

    return find_nothing


if __name__ == "__main__":
    replace(pool, "_SERVER_SETTINGS", hasten)
    replace(root, "require_durable", look_away)
    serve()
