"""An exporter as a process, and what it shows."""

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp

from moneypath.polling import poll_until

SCRAPE_SECONDS: Final = 2.0
WITHIN_SECONDS: Final = 60.0
LAST_SUCCESS: Final = 'moneypath_check_last_success_timestamp_seconds{check="%s"}'
VIOLATIONS: Final = 'moneypath_check_violations{check="%s"}'
Scrape = dict[str, float]


@dataclass(slots=True)
class Exporting:
    """A running exporter."""

    process: asyncio.subprocess.Process
    port: int
    session: aiohttp.ClientSession

    async def scrape(self) -> Scrape:
        """Return the samples of its checks; it has to answer in little time, whatever the database does."""
        async with self.session.get(f"http://127.0.0.1:{self.port}/metrics") as answer:
            text = await answer.text()
        found = re.findall(r"^(moneypath_check_\S+) (\S+)$", text, flags=re.MULTILINE)
        return {name: float(value) for name, value in found}

    async def until(self, holds: Callable[[Scrape], bool]) -> Scrape:
        """Scrape until a condition holds."""
        found = await poll_until(self.scrape, holds, every_seconds=0.1, within_seconds=WITHIN_SECONDS)
        assert holds(found), found
        return found

    async def health(self) -> dict[str, Any]:
        """Return what it says of itself."""
        async with self.session.get(f"http://127.0.0.1:{self.port}/healthz") as answer:
            said: dict[str, Any] = await answer.json()
            return said

    async def until_standing(self, standing: str) -> None:
        """Wait until it stands so with its only database."""
        wanted = {"dsn": standing}

        async def sources() -> dict[str, str]:
            found: dict[str, str] = (await self.health())["sources"]
            return found

        found = await poll_until(
            sources, lambda one: one == wanted, every_seconds=0.1, within_seconds=WITHIN_SECONDS
        )
        assert found == wanted

    async def kill(self) -> None:
        """Kill it without a chance to say anything."""
        self.process.kill()
        await self.process.wait()


@asynccontextmanager
async def exporting(file: Path) -> AsyncIterator[Exporting]:
    """Start an exporter on a free port, and stop it in order."""
    command = [sys.executable, "-m", "moneypath", "exporter", "--checks", str(file), "--port", "0"]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    drained: asyncio.Task[bytes] | None = None
    try:
        first = json.loads(await asyncio.wait_for(process.stdout.readline(), WITHIN_SECONDS))
        drained = asyncio.create_task(process.stdout.read())
        timeout = aiohttp.ClientTimeout(total=SCRAPE_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            yield Exporting(process, first["port"], session)
    finally:
        if process.returncode is None:
            process.terminate()
        code = await asyncio.wait_for(process.wait(), WITHIN_SECONDS)
        if drained is not None:
            await drained
    assert code in {0, -9}


def runs(found: Scrape, check: str, outcome: str) -> float:
    """Return how many runs of a check ended so."""
    return found[f'moneypath_check_runs_total{{check="{check}",outcome="{outcome}"}}']
