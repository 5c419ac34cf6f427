"""Several workers that push: a collector adds up no number twice, whoever is killed, whoever ends."""

import os
import signal
from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from tests.telemetry.otlp.conftest import FakeCollector
from tests.telemetry.shared.serving import SERVERS, serving, wait_until

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]
Sent = Callable[[ExportMetricsServiceRequest], Series]

PAYMENTS = 40
PAID = "moneypath_payments_total"


class Arrived:
    """What a collector knows of payments: of each instance the newest number, and its beginning."""

    def __init__(self, collector: FakeCollector, sent: Sent) -> None:
        self._collector = collector
        self._sent = sent

    def by_instance(self) -> dict[str, list[float]]:
        """Return for each instance how many payments it had by each request, in the order of arrival."""
        told: dict[str, list[float]] = defaultdict(list)
        for request in self._collector.requests.copy():
            ((instance, resource),) = [
                (each.value.string_value, resource)
                for resource in request.resource_metrics
                for each in resource.resource.attributes
                if each.key == "service.instance.id"
            ]
            series = self._sent(ExportMetricsServiceRequest(resource_metrics=[resource]))
            told[instance].append(sum(value for (name, _), value in series.items() if name == PAID))
        return told

    def paid(self) -> float:
        """Return what a query that adds up all instances says."""
        return sum(numbers[-1] for numbers in self.by_instance().values())

    def beginnings(self) -> set[int]:
        """Return since when the payments count, as the requests say it."""
        return {
            point.start_time_unix_nano
            for request in self._collector.requests.copy()
            for resource in request.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == PAID
            for point in metric.sum.data_points
        }


@pytest.mark.parametrize("server", SERVERS)
def test_workers_that_push_count_once(
    server: str, collector: FakeCollector, sent: Sent, tmp_path: Path
) -> None:
    """One instance and beginning, never a step back: through SIGKILL of each and to the last payment."""
    arrived = Arrived(collector, sent)
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
    (numbers,) = arrived.by_instance().values()
    assert all(earlier <= later for earlier, later in pairwise(numbers))
    assert len(arrived.beginnings()) == 1
