"""Raw samples from Prometheus: a range selector in an instant query, bounded in time and bytes."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from moneypath.capacity.counters import Series
from moneypath.errors import MoneypathError
from moneypath.runbooks.transport import AnswerTooLarge, read_bounded

MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
QUERY_SECONDS: Final = 15.0
# Scrapes are a second apart: so far before the window its base is looked for.
BASE_SECONDS: Final = 10.0
POLL_SECONDS: Final = 0.1


class SamplesUnread(MoneypathError):
    """Prometheus gave no samples: nothing is known, least of all zero."""

    code = "samples_unread"


@dataclass(frozen=True, slots=True)
class Prometheus:
    """One Prometheus, by its URL without `/api`."""

    url: str

    async def samples(self, selector: str, start: float, end: float) -> tuple[Series, ...]:
        """Return every raw sample of a selector from shortly before `start` to `end`; raises SamplesUnread.

        A selector that matches nothing gives no series.
        """
        span = round((end - start + BASE_SECONDS) * 1000)
        result = await self._query(f"{selector}[{span}ms] @ {end:.3f}")
        return tuple(
            Series(dict(row["metric"]), [(float(at), float(value)) for at, value in row["values"]])
            for row in result
        )

    async def value(self, promql: str) -> float | None:
        """Return the one value of an instant query; None when there is none. Raises SamplesUnread."""
        result = await self._query(promql)
        if len(result) > 1:
            raise SamplesUnread(f"one value was asked for, there are {len(result)}: {promql}")
        return float(result[0]["value"][1]) if result else None

    async def await_scrapes(self, jobs: tuple[str, ...], after: float, within_seconds: float) -> float:
        """Wait until each job was scraped after that instant, and return when the last of them was.

        Both in Unix seconds. Raises SamplesUnread when one is not within the time.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within_seconds
        names = "|".join(jobs)
        while True:
            result = await self._query(f'timestamp(up{{job=~"{names}"}} == 1)')
            times = [float(row["value"][1]) for row in result]
            if len(times) >= len(jobs) and min(times) > after:
                return max(times)
            if loop.time() >= deadline:
                raise SamplesUnread(
                    f"not every process answered a scrape within {within_seconds:g} s: {', '.join(jobs)}",
                    hint="read its log in the run folder",
                )
            await asyncio.sleep(POLL_SECONDS)

    async def _query(self, promql: str) -> list[Any]:
        timeout = aiohttp.ClientTimeout(total=QUERY_SECONDS)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.post(f"{self.url}/api/v1/query", data={"query": promql}) as answer,
            ):
                body = json.loads(await read_bounded(answer, MAX_ANSWER_BYTES))
        except (aiohttp.ClientError, TimeoutError, OSError, AnswerTooLarge, ValueError) as error:
            raise SamplesUnread(f"Prometheus gives no answer: {type(error).__name__}: {promql}") from error
        if body.get("status") != "success":
            raise SamplesUnread(f"Prometheus refused a query: {str(body.get('error'))[:200]}: {promql}")
        result: list[Any] = body["data"]["result"]
        return result
