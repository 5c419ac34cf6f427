"""A service that already serves prometheus_client's metrics. Run it: its endpoint shows both.

The payment is recorded with `begin` and `finish`, by a caller with its own clock. `with
recorder.payment(...)` does the same and also handles exceptions.
"""

import sys
from time import perf_counter
from urllib.request import urlopen

from prometheus_client import REGISTRY, Counter, start_http_server

from moneypath.telemetry import Catalogue, setup
from moneypath.telemetry.integrations.prometheus_client import RecorderCollector

orders = Counter("orders", "Orders taken.")
catalogue = Catalogue.build(
    {"providers": ("north",), "currencies": ("EUR",), "checks": ("ledger_balance",), "schemes": ("visa",)}
)
recorder = setup(catalogue, service="checkout")
REGISTRY.register(RecorderCollector(recorder))


def pay() -> None:
    """Record an order and its payment, for which the provider charges a quarter of a cent."""
    orders.inc()
    begun = perf_counter()
    payment = recorder.begin("authorize")
    payment.finish(perf_counter() - begun, "succeeded", "north", fee_micro_units=2500)


def main() -> None:
    """Serve, pay twice, and print the endpoint's metrics."""
    server, thread = start_http_server(0, addr="127.0.0.1")
    pay()
    pay()
    scrape = urlopen(f"http://127.0.0.1:{server.server_port}/metrics").read().decode()
    server.shutdown()
    server.server_close()
    thread.join()
    shown = ("orders_total", "moneypath_payments_total", "moneypath_cost_micro_units_total")
    for line in scrape.splitlines():
        if line.startswith(shown) and float(line.split()[-1]):
            sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    main()
