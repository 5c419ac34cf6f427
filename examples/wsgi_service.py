"""An instrumented WSGI application. Run it: it sends itself requests and prints its metrics."""

import sys
import threading
from collections.abc import Iterable
from urllib.request import urlopen
from wsgiref.simple_server import make_server
from wsgiref.types import StartResponse, WSGIEnvironment

from moneypath.telemetry import correlation, setup
from moneypath.telemetry.integrations.wsgi import TelemetryMiddleware, metrics_app

recorder = setup(service="checkout", providers=["north"], currencies=["EUR"])
metrics = metrics_app(recorder)


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Respond with the correlation id of the request; serve the metrics."""
    if environ["PATH_INFO"] == "/metrics":
        return metrics(environ, start_response)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{correlation.current()}\n".encode()]


observed = TelemetryMiddleware(application, recorder, ["/payments/{payment}", "/metrics"])


def main(port: int) -> None:
    """Serve on a loopback port (0: a free one), send requests, print and stop."""
    with make_server("127.0.0.1", port, observed) as server:
        threading.Thread(target=server.serve_forever).start()
        for path in ("/payments/p-1", "/payments/p-2", "/elsewhere"):
            print(urlopen(f"http://127.0.0.1:{server.server_port}{path}").read().decode().strip())
        scrape = urlopen(f"http://127.0.0.1:{server.server_port}/metrics").read().decode()
        server.shutdown()
    for line in scrape.splitlines():
        if line.startswith("http_server_request_duration_seconds_count"):
            print(line)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
