"""The real collector samples as documented, and waits for a back end that is down."""

from collections import Counter
from math import sqrt
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from moneypath.stack.errors import ServerNotStarted

ORDINARY = 2000
SPECIAL = 100
AT_ONCE = 200
DECIDED = "otelcol_processor_tail_sampling_global_count_traces_sampled"
REFUSED = "otelcol_exporter_enqueue_failed_spans"
WAITING = "otelcol_exporter_queue_size"


async def test_errors_slow_and_indeterminate_ones_are_kept_whole(run: Any, backend: Any, make: Any) -> None:
    """All of them with all their spans; of the rest a tenth within 4.5 standard deviations, complete as well.

    The policy hashes the trace id and the ids are seeded, so each run keeps the same traces.
    """
    kinds: dict[bytes, str] = {}
    spans: list[Span] = []

    def trace(kind: str, *members: dict[str, Any]) -> None:
        trace_id = make.draw.randbytes(16)
        kinds[trace_id] = kind
        spans.extend(make.one(trace_id=trace_id, **member) for member in members)

    for number in range(ORDINARY):
        # A tenth of a second short of slow, and a decline, are nothing to keep.
        outcome = "declined" if number % 3 else "succeeded"
        trace("ordinary", {"moneypath__outcome": outcome, "seconds": 0.9}, {"name": "provider authorize"})
    for _ in range(SPECIAL):
        trace("error", {}, {"name": "provider authorize", "error": True})
        trace("slow", {"seconds": 1.2}, {"name": "provider authorize", "seconds": 1.1})
        trace("indeterminate", {}, {"name": "provider authorize", "moneypath__outcome": "indeterminate"})
    make.draw.shuffle(spans)
    # As long as it is in production: the spans of a trace come in different requests, all of them before.
    async with run({"processors": {"tail_sampling": {"decision_wait": "10s"}}}) as running:
        for first in range(0, len(spans), AT_ONCE):
            await running.send("traces", make.request(spans[first : first + AT_ONCE]))
        await running.until_own(DECIDED, lambda decided: decided == len(kinds))
        kept = await running.own(DECIDED, sampled="true")
        await backend.until(lambda: len(backend.spans()) >= 2 * kept)
    arrived = Counter(span.trace_id for span in backend.spans())
    assert len(arrived) == kept
    assert set(arrived.values()) == {2}, "a trace is kept with all of its spans or not at all"
    counts = Counter(kinds[trace_id] for trace_id in arrived)
    assert [counts[kind] for kind in ("error", "slow", "indeterminate")] == [SPECIAL] * 3
    assert abs(counts["ordinary"] - ORDINARY * 0.1) <= 4.5 * sqrt(ORDINARY * 0.1 * 0.9)


async def test_an_outage_within_the_bound_loses_nothing(run: Any, backend: Any, make: Any) -> None:
    """Data sent while the back end is down arrives later, and nothing was refused."""
    spans = [make.one(error=True) for _ in range(3000)]
    async with run() as running:
        backend.stop()
        for first in range(0, len(spans), AT_ONCE):
            await running.send("traces", make.request(spans[first : first + AT_ONCE]))
        await running.until_own(WAITING, lambda waiting: waiting == len(spans), data_type="traces")
        assert backend.spans() == []
        backend.start()
        await backend.until(lambda: len(backend.spans()) >= len(spans))
        assert await running.own(REFUSED) == 0
    assert {span.span_id for span in backend.spans()} == {span.span_id for span in spans}


async def test_an_outage_beyond_the_bound_is_counted(run: Any, backend: Any, make: Any) -> None:
    """Spans that the queue cannot hold are refused and counted exactly; the rest arrives."""
    spans = [make.one(error=True) for _ in range(3000)]
    queue = {"exporters": {"otlp_http/backend": {"sending_queue": {"queue_size": 1200}}}}
    batch = {"send_batch_size": 100, "send_batch_max_size": 100, "timeout": "200ms"}
    changes = {**queue, "processors": {"batch": batch, "tail_sampling": {"decision_wait": "1s"}}}
    async with run(changes) as running:
        backend.stop()
        for first in range(0, len(spans), AT_ONCE):
            await running.send("traces", make.request(spans[first : first + AT_ONCE]))
        await running.until_own(REFUSED, lambda refused: refused >= len(spans) - 1200)
        refused = await running.own(REFUSED)
        backend.start()
        await backend.until(lambda: len(backend.spans()) >= len(spans) - refused)
        assert await running.own(REFUSED) == refused
        assert "otlp_http/backend" in running.log()
    arrived = {span.span_id for span in backend.spans()}
    assert len(arrived) == len(spans) - refused == 1200
    assert arrived < {span.span_id for span in spans}


async def test_a_configuration_that_is_wrong_is_refused(run: Any) -> None:
    """The collector's own check reports the mistake before anything starts."""
    with pytest.raises(ServerNotStarted, match="no_such_setting"):
        async with run({"exporters": {"otlp_http/backend": {"no_such_setting": 1}}}):
            pass
