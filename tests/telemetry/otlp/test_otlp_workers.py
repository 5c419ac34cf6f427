"""Several workers push, and a collector never adds a number twice, whichever worker dies."""

import os
import signal
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import pytest
from opentelemetry.proto.metrics.v1.metrics_pb2 import ResourceMetrics
from tests.telemetry.multiprocess.serving import SERVERS, serving, wait_until
from tests.telemetry.otlp.conftest import FakeCollector

PAYMENTS = 40


class Arrived:
    """What a collector received: payments by instance in each request, and their start times."""

    def __init__(self, collector: FakeCollector) -> None:
        self._collector = collector
        self._read = 0
        self.by_instance: dict[str, list[float]] = defaultdict(list)
        self.beginnings: set[int] = set()

    def paid(self) -> float:
        """Return the sum over the newest numbers of all instances."""
        requests = self._collector.requests[self._read :]
        self._read += len(requests)
        for request in requests:
            for resource in request.resource_metrics:
                (instance,) = [
                    each.value.string_value
                    for each in resource.resource.attributes
                    if each.key == "service.instance.id"
                ]
                self._take(instance, resource)
        return sum(numbers[-1] for numbers in self.by_instance.values())

    def _take(self, instance: str, resource: ResourceMetrics) -> None:
        (points,) = [
            metric.sum.data_points
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == "moneypath_payments_total"
        ]
        self.by_instance[instance].append(sum(point.as_double for point in points))
        self.beginnings |= {point.start_time_unix_nano for point in points}


@pytest.mark.parametrize("server", SERVERS)
def test_workers_that_push_count_once(server: str, collector: FakeCollector, tmp_path: Path) -> None:
    """One instance and start time, and no decrease, while each worker is killed in turn."""
    arrived = Arrived(collector)
    with serving(server, tmp_path, {"PUSH_TO": collector.endpoint}) as served:
        served.pay(PAYMENTS)
        wait_until(lambda: arrived.paid() == PAYMENTS)
        assert served.paid() == PAYMENTS
        for victim in served.workers():
            os.kill(victim, signal.SIGKILL)
            served.counts_until_without({victim})
        served.pay(PAYMENTS)
        wait_until(lambda: arrived.paid() == 2 * PAYMENTS)
        assert served.paid() == 2 * PAYMENTS
        served.pay(PAYMENTS)
    # Nothing is waited for: the last one to end has sent what all of them counted.
    assert arrived.paid() == 3 * PAYMENTS
    (numbers,) = arrived.by_instance.values()
    assert all(earlier <= later for earlier, later in pairwise(numbers))
    assert len(arrived.beginnings) == 1
