"""A metric reader of the OpenTelemetry SDK that exports a recorder's metrics."""

import atexit
import threading
from typing import Any

from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, attach, detach, set_value
from opentelemetry.sdk.metrics.export import (
    MetricExporter,
    MetricExportResult,
    MetricReader,
    MetricsData,
    ResourceMetrics,
)
from opentelemetry.sdk.resources import Resource

from moneypath.telemetry.catalogue.vocabulary import DropReason
from moneypath.telemetry.otlp.conversion import resource_metrics
from moneypath.telemetry.recording.recorder import Recorder
from moneypath.telemetry.recording.store import ExportScope

# How often a worker that ends exports again for others that end at the same time.
LAST_EXPORTS = 8


class RecorderReader(MetricReader):
    """Exports a recorder's metrics every `interval_seconds` from a thread of its own.

    Recording never waits for it. Exports do not overlap and are not queued: the next one carries all
    numbers again. One that fails or takes longer than `timeout_seconds` is counted as `export_missed`. Of
    workers that share their metrics one exports for all, and another takes over when it exits; give all of
    them the same `resource`. Added to a `MeterProvider`, it exports that provider's metrics in the same
    request. Threads do not survive a fork, so create it in the process that records.
    """

    def __init__(
        self,
        recorder: Recorder,
        exporter: MetricExporter,
        *,
        resource: Resource,
        interval_seconds: float,
        timeout_seconds: float,
    ) -> None:
        # As the SDK's own periodic reader does: the exporter decides on temporality and aggregation.
        super().__init__(
            preferred_temporality=exporter._preferred_temporality,
            preferred_aggregation=exporter._preferred_aggregation,
        )
        self._exporter = exporter
        self._interval_seconds = interval_seconds
        self._one_at_a_time = threading.Lock()
        self._others: list[ResourceMetrics] = []
        self._recorder = recorder
        self._resource = resource
        self._stopping = threading.Event()
        self._timeout_seconds = timeout_seconds
        self._thread = threading.Thread(target=self._run, name="moneypath-otlp", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def close(self, timeout_seconds: float = 5.0) -> None:
        """Export once more and stop.

        Returns after `timeout_seconds` even if the collector does not answer.
        """
        self.shutdown(timeout_millis=timeout_seconds * 1000)

    def shutdown(self, timeout_millis: float = 30_000, **_: Any) -> None:
        """Stop as `close` does. A second call does nothing."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        atexit.unregister(self.close)
        self._thread.join(timeout_millis / 1000)
        # Ends the wait between two retries if the thread is still exporting.
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Export now, after any export in progress. Return whether it was delivered.

        Metrics that another worker exports count as delivered.
        """
        if not self._one_at_a_time.acquire(timeout=timeout_millis / 1000):
            return False
        try:
            return self._export()
        finally:
            self._one_at_a_time.release()

    def _run(self) -> None:
        while not self._stopping.wait(self._interval_seconds):
            with self._one_at_a_time:
                self._export()
        with self._one_at_a_time:
            for _ in range(LAST_EXPORTS):
                self._export(last=True)
                if not self._recorder.release_export():
                    break

    def _export(self, *, last: bool = False) -> bool:
        # The exporter's own HTTP requests must not be reported as requests of the service.
        token = attach(set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))
        milliseconds = self._timeout_seconds * 1000
        try:
            self._others = []
            if self._collect is not None:
                self.collect(timeout_millis=milliseconds)
            all_metrics = [*self._ours(last=last), *self._others]
            if not all_metrics:
                return True
            result = self._exporter.export(MetricsData(all_metrics), timeout_millis=milliseconds)
        except Exception:  # noqa: BLE001  # an exporter's defect must not end the thread; it is counted
            result = MetricExportResult.FAILURE
        finally:
            detach(token)
        if result is not MetricExportResult.SUCCESS:
            self._recorder.count_drop(DropReason.EXPORT_MISSED)
        return result is MetricExportResult.SUCCESS

    def _ours(self, *, last: bool) -> list[ResourceMetrics]:
        scope = self._recorder.claim_export(last=last)
        if scope is ExportScope.NOTHING:
            return []
        return [resource_metrics(self._recorder, self._resource, own_only=scope is ExportScope.OWN)]

    def _receive_metrics(
        self,
        metrics_data: MetricsData,
        timeout_millis: float = 10_000,  # noqa: ARG002  # the SDK's signature
        **_: Any,
    ) -> None:
        self._others = list(metrics_data.resource_metrics)
