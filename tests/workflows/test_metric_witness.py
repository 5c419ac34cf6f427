"""The metrics of a run are compared from a quiet beginning, and what cannot be read says why."""

import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from moneypath.path.loader import FILE_NAME, load
from moneypath.prometheus import QueryFailed
from moneypath.stack.endpoints import Endpoints
from moneypath.workflows.metric_witness import MetricWitness

PATH = load(Path(__file__).parents[2] / FILE_NAME)
LABELS = {
    "operation": "authorize", "outcome": "succeeded", "provider": "north", "traffic": "live",
    "instance": "refpay-api",
}  # fmt: skip


class Stack:
    """A Prometheus that scrapes at every question, and one provider."""

    def __init__(self, *, grows: float = 0.0, received: Any = None) -> None:
        self.grows = grows
        self.received = {"authorize": 3} if received is None else received
        self.asked = 0

    async def query(self, request: web.Request) -> web.Response:
        """Answer an instant query: scrapes that are new, or samples that grow with each scrape."""
        promql = str((await request.post())["query"])
        if promql.startswith("timestamp("):
            self.asked += 1
            at = math.ceil(time.time()) + self.asked
            jobs = [{"metric": {"job": each.job}, "value": [at, str(at)]} for each in PATH.targets]
            return _answer("vector", jobs)
        if not promql.startswith("moneypath_payments_total"):
            return _answer("matrix", [])
        end = float(promql.rpartition("@ ")[2])
        values = [[end - 5, "7"], [end, str(7 + self.grows)]]
        return _answer("matrix", [{"metric": LABELS, "values": values}])

    async def requests(self, _: web.Request) -> web.Response:
        """Say how many requests the provider has received."""
        return web.json_response({"provider": "north", "since": 5.0, "received": self.received})


def _answer(kind: str, result: list[dict[str, Any]]) -> web.Response:
    return web.json_response({"status": "success", "data": {"resultType": kind, "result": result}})


@asynccontextmanager
async def witness(stack: Stack, folder: Path) -> AsyncIterator[MetricWitness]:
    """Yield a witness of a stack, which gives nobody time to end."""
    app = web.Application()
    app.add_routes([web.post("/api/v1/query", stack.query), web.get("/truth/requests", stack.requests)])
    (folder / "north_control_token").write_text("token")
    async with TestServer(app) as server:
        url = str(server.make_url("")).rstrip("/")
        endpoints = Endpoints(
            target="reference",
            service=url, worker=url, prometheus=url, alertmanager=url, pager=url, providers={"north": url},
            oracle_dsn="postgresql://nobody@127.0.0.1:1/none", secrets_folder=folder, run_folder=folder,
            scale=60,
        )  # fmt: skip
        yield MetricWitness(PATH, endpoints, quiet_within_seconds=0.0)


async def test_somebody_else_who_sends_payments_is_named(tmp_path: Path) -> None:
    """Whatever they send would look like an invention of the metrics."""
    async with witness(Stack(grows=1.0), tmp_path) as started:
        with pytest.raises(QueryFailed, match="Payments of somebody else did not end within 0 s") as caught:
            await started.begin()
    assert caught.value.hint == (
        "Stop what else sends payments to the stack: only then can the metrics be compared."
    )


async def test_a_quiet_stack_is_no_reason_to_wait(tmp_path: Path) -> None:
    """The twin: two scrapes, and the counts of the provider."""
    stack = Stack()
    async with witness(stack, tmp_path) as started:
        await started.begin()
    assert stack.asked == 2


async def test_a_fresh_stack_is_not_waited_for(tmp_path: Path) -> None:
    """Its load begins at once, or the pause would page for missing traffic."""
    stack = Stack(grows=1.0)
    async with witness(stack, tmp_path) as started:
        await replace(started, fresh=True).begin()
    assert stack.asked == 0


async def test_what_cannot_be_read_is_no_agreement(tmp_path: Path) -> None:
    """The ledger is not there: the comparison fails, and says so instead of raising."""
    stack = Stack()
    async with witness(stack, tmp_path) as started:
        compared = await started.compare([])
    assert compared.rows == ()
    (lie,) = compared.lies
    assert lie.startswith("metrics were not compared: ")
    assert "the ledger cannot be read" in lie
