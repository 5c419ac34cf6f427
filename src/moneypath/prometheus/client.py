"""Queries over Prometheus' HTTP interface."""

import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp

from moneypath.bounded_http import AnswerTooLarge, read_bounded
from moneypath.prometheus.errors import PrometheusUnreachable, QueryFailed
from moneypath.prometheus.model import Sample, Series

MAX_ANSWER_BYTES: Final = 1024 * 1024
MAX_SAMPLES: Final = 1000
# How far before a window its first sample is looked for; scrapes are at most 5 s apart.
LOOKBACK_SECONDS: Final = 10.0
_UNREACHABLE: Final = "Check that Prometheus runs at {url}; give its address without /api."
_AGGREGATE: Final = "Aggregate the query, so that it returns less."


@dataclass(frozen=True, slots=True)
class Prometheus:
    """One Prometheus, by its URL without `/api`; the URL may have a path of its own.

    `headers` show who asks, and no repr shows them. `tls` is True for the usual certificates.

    Every method raises PrometheusUnreachable when there is no answer, and QueryFailed when Prometheus
    refuses the query or its answer is too large or malformed.
    """

    url: str
    timeout_seconds: float = 5.0
    max_answer_bytes: int = MAX_ANSWER_BYTES
    headers: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    tls: ssl.SSLContext | bool = True

    async def query(self, promql: str, /, *, at: float | None = None) -> tuple[Sample, ...]:
        """Return the samples of an instant query, at most MAX_SAMPLES, now or `at` (Unix seconds)."""
        form = {"query": promql} if at is None else {"query": promql, "time": f"{at:.3f}"}
        kind, result = await self._result("query", form)
        try:
            if kind == "scalar":
                return (Sample({}, float(result[1])),)
            if kind != "vector":
                raise QueryFailed(
                    f"Query returns a {kind}, not an instant vector: {promql}.", hint=_AGGREGATE
                )
            if len(result) > MAX_SAMPLES:
                what = f"Query returns {len(result)} samples, more than {MAX_SAMPLES}: {promql}."
                raise QueryFailed(what, hint=_AGGREGATE)
            return tuple(Sample(dict(row["metric"]), float(row["value"][1])) for row in result)
        except (ValueError, TypeError, KeyError, IndexError) as error:
            raise _malformed(error) from error

    async def value(self, promql: str, /) -> float | None:
        """Return the one value of an instant query, or None when it finds nothing."""
        samples = await self.query(promql)
        if len(samples) > 1:
            raise QueryFailed(f"Query returns {len(samples)} samples, not one: {promql}.", hint=_AGGREGATE)
        return samples[0].value if samples else None

    async def query_range(
        self, promql: str, /, *, start: float, end: float, step: float
    ) -> tuple[Series, ...]:
        """Return the series of a range query; times are Unix seconds."""
        form = {"query": promql, "start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step:g}"}
        return _series(*await self._result("query_range", form))

    async def raw_samples(self, selector: str, start: float, end: float) -> tuple[Series, ...]:
        """Return every raw sample of a selector from LOOKBACK_SECONDS before `start` to `end`.

        Times are Unix seconds. A selector that matches nothing returns no series.
        """
        milliseconds = round((end - start + LOOKBACK_SECONDS) * 1000)
        return _series(*await self._result("query", {"query": f"{selector}[{milliseconds}ms] @ {end:.3f}"}))

    async def alerts(self) -> tuple[Mapping[str, Any], ...]:
        """Return the active alerts as Prometheus lists them."""
        data = await self._data("GET", "alerts", {})
        try:
            return tuple(data["alerts"])
        except (TypeError, KeyError) as error:
            raise _malformed(error) from error

    async def _result(self, path: str, form: Mapping[str, str]) -> tuple[str, Any]:
        data = await self._data("POST", path, {**form, "timeout": f"{self.timeout_seconds:g}s"})
        try:
            return data["resultType"], data["result"]
        except (TypeError, KeyError) as error:
            raise _malformed(error) from error

    async def _data(self, method: str, path: str, form: Mapping[str, str]) -> Any:
        url = self.url.rstrip("/")
        timeout = aiohttp.ClientTimeout(total=self.timeout_seconds)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.request(
                    method,
                    f"{url}/api/v1/{path}",
                    data=dict(form) or None,
                    headers=self.headers,
                    ssl=self.tls,
                    allow_redirects=False,
                ) as answer,
            ):
                content = await read_bounded(answer, self.max_answer_bytes)
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            what = f"Prometheus does not answer at {url}: {type(error).__name__}."
            raise PrometheusUnreachable(what, hint=_UNREACHABLE.format(url=url)) from error
        except AnswerTooLarge as error:
            raise QueryFailed(f"Prometheus answered {error}.", hint=_AGGREGATE) from error
        return _parse(status, content, form.get("query", ""))


def _parse(status: int, content: bytes, promql: str) -> Any:
    try:
        body = json.loads(content)
        if body["status"] == "success":
            return body["data"]
        reason = str(body["error"])[:200]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        what = f"Answer is not one of Prometheus: status {status}."
        raise QueryFailed(what, hint="Check which server runs at the address of Prometheus.") from error
    raise QueryFailed(f"Prometheus refused the query: {reason}.", hint=f"Correct the query: {promql}")


def _series(kind: str, result: Any) -> tuple[Series, ...]:
    if kind != "matrix":
        raise QueryFailed(f"Query returns a {kind}, not a range vector.", hint="Ask for a range.")
    try:
        return tuple(
            Series(dict(row["metric"]), [(float(at), float(value)) for at, value in row["values"]])
            for row in result
        )
    except (ValueError, TypeError, KeyError) as error:
        raise _malformed(error) from error


def _malformed(error: Exception) -> QueryFailed:
    return QueryFailed(
        f"Answer of Prometheus is malformed: {type(error).__name__}.",
        hint="Check which server runs at the address of Prometheus.",
    )
