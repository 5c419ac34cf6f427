"""Everything that the wallet counts: half as it always did with prometheus_client, half with moneypath."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from moneypath.telemetry import Catalogue, Recorder, setup
from moneypath.telemetry.integrations.prometheus_client import RecorderCollector

API: Final = (
    "http_server_request_duration_seconds",
    "moneypath_payments_total",
    "moneypath_payment_duration_seconds",
    "moneypath_payments_in_flight",
    "moneypath_provider_attempts_total",
    "moneypath_provider_request_duration_seconds",
)
WORKER: Final = (
    "moneypath_provider_routing_active",
    "moneypath_indeterminate_payments",
    "moneypath_indeterminate_minor_units",
    "moneypath_money_at_risk_minor_units",
    "moneypath_provider_attempts_total",
    "moneypath_provider_request_duration_seconds",
)
RESULTS: Final = ("moved", "refused", "error", "silent")
PLACES: Final = Path(__file__).with_name("catalogue.json")


class Measures:
    """The metrics of one process, ours and moneypath's, in one registry."""

    def __init__(self, service: str, banks: Iterable[str], metrics: Iterable[str]) -> None:
        self.registry = CollectorRegistry()
        self.bank_requests = Counter(
            "wallet_bank_requests", "Requests to a bank by their result.", ["bank", "result"],
            registry=self.registry,
        )  # fmt: skip
        self.booking = Histogram(
            "wallet_booking_seconds", "Time of a booking in the database.",
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5), registry=self.registry,
        )  # fmt: skip
        for bank in banks:
            for result in RESULTS:
                self.bank_requests.labels(bank, result)
        self.recorder: Recorder = setup(Catalogue.load(PLACES), service=service, metrics=metrics)
        self.registry.register(RecorderCollector(self.recorder))


class WorkerMeasures(Measures):
    """Those of the worker: it alone shows how many orders wait."""

    def __init__(self, banks: Iterable[str]) -> None:
        super().__init__("wallet-worker", banks, WORKER)
        self.open_orders = Gauge(
            "wallet_open_bank_orders", "Orders that no bank has answered.", ["bank"], registry=self.registry
        )
