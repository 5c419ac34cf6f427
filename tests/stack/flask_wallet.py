"""A wallet of somebody else: Flask and prometheus_client, and no line of our library."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from flask import Flask, Response, request
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from werkzeug.serving import make_server

BANKS = ("ACME", "first-bank")
CURRENCIES = ("EUR", "USDC", "POINTS")


def wallet(banks: httpx.Client) -> Flask:
    """Return the service; each transfer asks one of two banks by `banks`."""
    registry = CollectorRegistry()
    requests = Counter(
        "wallet_bank_requests_total", "Requests to banks.", ["bank", "result", "cur"], registry=registry
    )
    seconds = Histogram(
        "wallet_transfer_seconds",
        "Time of transfers.",
        ["status", "route"],
        buckets=(0.1, 0.5, 1, 5),
        registry=registry,
    )
    Gauge("wallet_outbox_rows", "Rows that wait.", registry=registry).set(3)
    # What may happen exists from the start, so that the first failure is an increase.
    for bank in BANKS:
        for currency in CURRENCIES:
            for result in ("APPLIED", "ERROR"):
                requests.labels(bank, result, currency)
    app = Flask("wallet")

    @app.post("/transfers/<bank>")
    def transfer(bank: str) -> tuple[str, int]:
        answer = banks.post(f"/{bank}")
        result = "APPLIED" if answer.is_success else "ERROR"
        requests.labels(bank, result, request.args["currency"]).inc()
        # How long the bank took is the bank's; what the wallet promises is that it answers.
        seconds.labels("ok", "/transfers/<bank>").observe(0.08)
        return result, 200 if answer.is_success else 502

    @app.get("/metrics")
    def metrics() -> Response:
        return Response(generate_latest(registry), content_type="text/plain; version=0.0.4")

    return app


@contextmanager
def serving_flask(app: Flask) -> Iterator[str]:
    """Serve a Flask application on a free port of loopback, in threads."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(timeout=10)
        server.server_close()
