"""Queries over Prometheus' HTTP interface, bounded in time, bytes and samples."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from moneypath.runbooks.ports import Query, QueryFailed, Sample
from moneypath.runbooks.transport import AnswerTooLarge, read_bounded

MAX_ANSWER_BYTES: Final = 1024 * 1024
MAX_SAMPLES: Final = 1000
_STEP: Final = "see whether Prometheus answers at the address of the stack"


def prometheus_query(url: str, *, timeout_seconds: float = 5.0) -> Query:
    """Return a Query that asks the Prometheus at `url` (without `/api`)."""
    return _PrometheusQuery(url.rstrip("/"), timeout_seconds)


@dataclass(frozen=True, slots=True)
class _PrometheusQuery:
    url: str
    timeout_seconds: float

    async def __call__(self, promql: str, /) -> Sequence[Sample]:
        """Return the samples of an instant query; raise QueryFailed for anything else."""
        timeout = aiohttp.ClientTimeout(total=self.timeout_seconds)
        form = {"query": promql, "timeout": f"{self.timeout_seconds:g}s"}
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.post(f"{self.url}/api/v1/query", data=form, allow_redirects=False) as answer,
            ):
                content = await read_bounded(answer, MAX_ANSWER_BYTES)
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise QueryFailed(f"Prometheus does not answer: {type(error).__name__}", hint=_STEP) from error
        except AnswerTooLarge as error:
            raise QueryFailed(f"Prometheus answered {error}", hint="aggregate the query") from error
        return _samples(status, content)


def _samples(status: int, content: bytes) -> tuple[Sample, ...]:
    try:
        body = json.loads(content)
        if body["status"] != "success":
            what = f"Prometheus refused the query: {str(body['error'])[:200]}"
            raise QueryFailed(what, hint="correct the query in the runbook")
        return tuple(_parsed(body["data"]["resultType"], body["data"]["result"]))
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise QueryFailed(f"no answer of Prometheus: status {status}", hint=_STEP) from error


def _parsed(kind: str, result: Any) -> list[Sample]:
    if kind == "scalar":
        return [Sample({}, float(result[1]))]
    if kind != "vector":
        raise QueryFailed(f"a {kind} is not an instant answer", hint="aggregate the range in the query")
    if len(result) > MAX_SAMPLES:
        what = f"{len(result)} samples, more than {MAX_SAMPLES}"
        raise QueryFailed(what, hint="aggregate the query")
    return [Sample(dict(row["metric"]), float(row["value"][1])) for row in result]
