"""Distribute seeds over jobs; each job is a process with its own database."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from proofs.simulation.server import Server

# A new database for each chunk: without statistics, queries get slower with every row.
CHUNK: Final = 300
_LINE_MAXIMUM: Final = 1 << 26


@dataclass(frozen=True, slots=True)
class HistoryResult:
    """The result of one history."""

    seed: int
    violation: str | None
    steps: int
    trace: tuple[str, ...] = ()


async def run_seeds(
    server: Server,
    seeds: range,
    *,
    jobs: int,
    bug: str | None = None,
    trace: bool = False,
    jittered: bool = False,
    database: str = "simulation",
) -> AsyncGenerator[HistoryResult, None]:
    """Yield the results of seeds in the order in which they end; a violation ends only its own job.

    Runs at the same time on one server need different names of `database`.
    If `jittered`, the server's answers come late and in another order, which must make no difference.
    """
    order = {"bug": bug, "trace": trace, "jittered": jittered}
    chunks = _chunks(seeds, max(1, min(CHUNK, -(-len(seeds) // jobs))))
    ended: asyncio.Queue[HistoryResult | BaseException | None] = asyncio.Queue()

    async def work(number: int) -> None:
        try:
            for chunk in chunks:
                await _run_chunk(server, f"{database}_{number}", chunk, ended, order)
        except BaseException as problem:  # noqa: BLE001 - raised again by the reader
            ended.put_nowait(problem)
        ended.put_nowait(None)

    workers = [asyncio.create_task(work(number)) for number in range(jobs)]
    try:
        left = jobs
        while left:
            found = await ended.get()
            if isinstance(found, BaseException):
                raise found
            if found is None:
                left -= 1
            else:
                yield found
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


def _chunks(seeds: range, size: int) -> Iterator[range]:
    for first in range(0, len(seeds), size):
        yield seeds[first : first + size]


async def _run_chunk(
    server: Server, name: str, chunk: range, ended: "asyncio.Queue[Any]", order: dict[str, Any]
) -> None:
    left = list(chunk)
    while left:
        dsn, monitor_dsn = await server.make_database(name)
        told_job = order | {"dsn": dsn, "monitor_dsn": monitor_dsn}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "proofs.simulation.job",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONHASHSEED": "0"},
            limit=_LINE_MAXIMUM,
        )
        assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - narrows the types
        try:
            process.stdin.write("\n".join((json.dumps(told_job), *map(str, left), "")).encode())
            process.stdin.close()
            before = len(left)
            async for line in process.stdout:
                told = json.loads(line)
                found = HistoryResult(**told | {"trace": tuple(told["trace"])})
                left.remove(found.seed)
                ended.put_nowait(found)
            code = await process.wait()
            if left and len(left) == before:
                raise RuntimeError(f"a job ended with code {code} before seed {left[0]} did")
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
