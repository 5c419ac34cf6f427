"""Runs every query of a board on a real Prometheus and says which find nothing."""

import asyncio
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from moneypath.dashboards.model import Board
from moneypath.dashboards.queries import Asked, Times, queries
from moneypath.errors import MoneypathError

MOST_ANSWER_BYTES: Final = 4 * 1024 * 1024
MOST_AT_ONCE: Final = 4
ANSWER_WITHIN_SECONDS: Final = 10.0


class PrometheusSilent(MoneypathError):
    """Prometheus cannot be asked at all."""

    code = "prometheus_silent"


@dataclass(frozen=True, slots=True)
class Finding:
    """A query that does not do what it is there for."""

    where: str
    problem: str
    expr: str


@dataclass(frozen=True, slots=True)
class Proof:
    """What asking everything came to. `quiet` counts the queries that rightly found nothing."""

    panels: int
    asked: int
    with_data: int
    quiet: int
    findings: tuple[Finding, ...]


async def prove(
    board: Board, prometheus_url: str, *, times: Times | None = None, now: Callable[[], float] = time.time
) -> Proof:
    """Ask everything that the board asks, as Grafana would, for the range that ends now.

    A query that is refused, or that finds no number though it should, is a finding. Raises PrometheusSilent
    when Prometheus does not answer.
    """
    times = times or Times()
    asked = queries(board, times)
    asking = _Asking(prometheus_url.rstrip("/"), times, now())
    timeout = aiohttp.ClientTimeout(total=ANSWER_WITHIN_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        slots = asyncio.Semaphore(MOST_AT_ONCE)

        async def ask(query: Asked) -> tuple[int, str]:
            async with slots:
                return await asking.numbers(session, query)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(ask(query)) for query in asked]
        except* (aiohttp.ClientError, TimeoutError, OSError) as problems:
            raise PrometheusSilent(
                f"Prometheus does not answer: {prometheus_url} ({type(problems.exceptions[0]).__name__})",
                hint="give the address that the stack printed, without /api",
            ) from problems
    answers = [task.result() for task in tasks]
    findings = tuple(_findings(asked, answers))
    with_data = sum(1 for numbers, _ in answers if numbers)
    return Proof(
        panels=sum(1 for _ in board.panels()),
        asked=len(asked),
        with_data=with_data,
        quiet=len(asked) - with_data - len(findings),
        findings=findings,
    )


def _findings(asked: tuple[Asked, ...], answers: list[tuple[int, str]]) -> list[Finding]:
    found = []
    for query, (numbers, problem) in zip(asked, answers, strict=True):
        if problem:
            found.append(Finding(query.where, problem, query.expr))
        elif not numbers and not query.quiet:
            found.append(Finding(query.where, "no data", query.expr))
    return found


@dataclass(frozen=True, slots=True)
class _Asking:
    url: str
    times: Times
    end: float

    async def numbers(self, session: aiohttp.ClientSession, query: Asked) -> tuple[int, str]:
        """Return how many numbers the query finds, and why it was refused, if it was."""
        form = {"query": query.expr, "timeout": f"{ANSWER_WITHIN_SECONDS:g}s"}
        if query.instant:
            path, form = "query", {**form, "time": f"{self.end:.3f}"}
        else:
            step = self.times.interval_milliseconds / 1000
            # Grafana aligns a range to its step, so that a refresh does not make the lines jump.
            end = math.floor(self.end / step) * step
            start = end - self.times.range_seconds
            path = "query_range"
            form = {**form, "start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step:g}"}
        async with session.post(f"{self.url}/api/v1/{path}", data=form, allow_redirects=False) as answer:
            content = await answer.content.read(MOST_ANSWER_BYTES + 1)
            while len(content) <= MOST_ANSWER_BYTES and (
                more := await answer.content.read(MOST_ANSWER_BYTES)
            ):
                content += more
        if len(content) > MOST_ANSWER_BYTES:
            return 0, f"answers with more than {MOST_ANSWER_BYTES} bytes"
        return _read(content)


def _read(content: bytes) -> tuple[int, str]:
    try:
        body = json.loads(content)
        if body["status"] != "success":
            return 0, f"refused: {str(body['error'])[:200]}"
        return _count(body["data"]["resultType"], body["data"]["result"]), ""
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
        return 0, "not an answer of Prometheus"


def _count(kind: str, result: Any) -> int:
    if kind == "scalar":
        return int(_is_number(result[1]))
    samples = (pair for row in result for pair in (row["values"] if kind == "matrix" else [row["value"]]))
    return sum(1 for _, value in samples if _is_number(value))


def _is_number(value: str) -> bool:
    return math.isfinite(float(value))
