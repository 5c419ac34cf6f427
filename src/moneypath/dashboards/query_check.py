"""Run every query of a board on a real Prometheus and report those that fail or find nothing."""

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from moneypath.dashboards.model import Board
from moneypath.dashboards.queries import RenderedQuery, TimeRange, queries
from moneypath.prometheus import Prometheus, PrometheusUnreachable, QueryFailed

MOST_ANSWER_BYTES: Final = 4 * 1024 * 1024
MOST_AT_ONCE: Final = 4
ANSWER_WITHIN_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class FailedQuery:
    """A query that was refused or found nothing."""

    where: str
    problem: str
    expr: str


@dataclass(frozen=True, slots=True)
class BoardQueryCheck:
    """The result of a check. `quiet` counts the queries that found nothing, as expected."""

    panels: int
    asked: int
    with_data: int
    quiet: int
    findings: tuple[FailedQuery, ...]


async def check_queries(
    board: Board, prometheus_url: str, *, times: TimeRange | None = None, now: Callable[[], float] = time.time
) -> BoardQueryCheck:
    """Run every query of the board, as Grafana would, for the range that ends now.

    A query that is refused, or that finds no number though it should, is a finding.
    Raises PrometheusUnreachable when Prometheus does not answer.
    """
    times = times or TimeRange()
    asked = queries(board, times)
    prometheus = Prometheus(
        prometheus_url, timeout_seconds=ANSWER_WITHIN_SECONDS, max_answer_bytes=MOST_ANSWER_BYTES
    )
    end = now()
    slots = asyncio.Semaphore(MOST_AT_ONCE)

    async def ask(query: RenderedQuery) -> tuple[int, str]:
        async with slots:
            return await _numbers(prometheus, query, times, end)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(ask(query)) for query in asked]
    except* PrometheusUnreachable as problems:
        raise problems.exceptions[0] from None
    answers = [task.result() for task in tasks]
    findings = tuple(_findings(asked, answers))
    with_data = sum(1 for numbers, _ in answers if numbers)
    return BoardQueryCheck(
        panels=sum(1 for _ in board.panels()),
        asked=len(asked),
        with_data=with_data,
        quiet=len(asked) - with_data - len(findings),
        findings=findings,
    )


def _findings(asked: tuple[RenderedQuery, ...], answers: list[tuple[int, str]]) -> list[FailedQuery]:
    found = []
    for query, (numbers, problem) in zip(asked, answers, strict=True):
        if problem:
            found.append(FailedQuery(query.where, problem, query.expr))
        elif not numbers and not query.empty_when:
            found.append(FailedQuery(query.where, "no data", query.expr))
    return found


async def _numbers(
    prometheus: Prometheus, query: RenderedQuery, times: TimeRange, now: float
) -> tuple[int, str]:
    """Return how many numbers the query finds, and why it was refused, if it was."""
    try:
        if query.instant:
            values = [sample.value for sample in await prometheus.query(query.expr, at=now)]
        else:
            step = times.interval_milliseconds / 1000
            # Grafana aligns a range to its step, so that a refresh does not make the lines jump.
            end = math.floor(now / step) * step
            found = await prometheus.query_range(
                query.expr, start=end - times.range_seconds, end=end, step=step
            )
            values = [value for series in found for _, value in series.samples]
    except PrometheusUnreachable:
        raise
    except QueryFailed as error:
        return 0, error.what
    return sum(map(math.isfinite, values)), ""
