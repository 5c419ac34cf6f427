"""A real Alertmanager with silences and alerts of a test."""

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from moneypath.alerting.silences.matchers import Matcher
from moneypath.stack import alertmanager
from moneypath.stack.binaries import Binary
from moneypath.stack.supervisor import Supervisor

NO_ROUTES = {"route": {"receiver": "nobody"}, "receivers": [{"name": "nobody"}]}


async def start_alertmanager(supervisor: Supervisor, binary: Binary, folder: Path, port: int) -> str:
    """Start one that pages nobody; return its URL."""
    config_file = folder / "routes.yml"
    config_file.write_text(yaml.safe_dump(NO_ROUTES), encoding="utf-8")
    await supervisor.start(alertmanager.spec(binary, folder / "alertmanager", port, config_file=config_file))
    return f"http://127.0.0.1:{port}"


@contextlib.asynccontextmanager
async def session_to(url: str) -> AsyncIterator[aiohttp.ClientSession]:
    """Open a session with short time-outs."""
    timeout = aiohttp.ClientTimeout(total=10)
    async with aiohttp.ClientSession(base_url=url, timeout=timeout) as session:
        yield session


async def silence(
    session: aiohttp.ClientSession, matchers: Sequence[Matcher], *, starts: float, ends: float
) -> str | None:
    """Make a silence between two instants, Unix seconds; return its id, or None if it is refused."""
    document = {
        "matchers": [
            {"name": each.label, "value": each.value, "isRegex": each.is_regex, "isEqual": each.is_equal}
            for each in matchers
        ],
        "startsAt": datetime.fromtimestamp(starts, UTC).isoformat(),
        "endsAt": datetime.fromtimestamp(ends, UTC).isoformat(),
        "createdBy": "night shift",
        "comment": "too loud",
    }
    async with session.post("/api/v2/silences", json=document) as answer:
        if answer.status == 400:
            return None
        answer.raise_for_status()
        made: dict[str, Any] = await answer.json()
        return str(made["silenceID"])


async def expire(session: aiohttp.ClientSession, silence_id: str) -> None:
    """End a silence now."""
    async with session.delete(f"/api/v2/silence/{silence_id}") as answer:
        answer.raise_for_status()


async def send_alerts(session: aiohttp.ClientSession, alerts: Sequence[Mapping[str, str]]) -> None:
    """Send alerts as Prometheus does."""
    async with session.post("/api/v2/alerts", json=[{"labels": dict(labels)} for labels in alerts]) as answer:
        answer.raise_for_status()
