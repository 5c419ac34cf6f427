"""A Flask service that counts payments and requests. Run it: it pays twice and prints its metrics."""

import sys
import threading

import requests
from flask import Flask, request
from werkzeug.serving import make_server

from moneypath.telemetry import setup
from moneypath.telemetry.integrations.flask import instrument

app = Flask(__name__)
recorder = setup(service="checkout", providers=["north"], currencies=["EUR"])
instrument(app, recorder)


@app.post("/payments/<reference>")
def pay(reference: str) -> dict[str, str]:
    """Authorize a payment."""
    with recorder.payment("authorize") as payment:
        status = "approved" if int(request.form["amount"]) < 10_000 else "declined"
        payment.finish("succeeded" if status == "approved" else "declined", "north")
    return {"reference": reference, "status": status}


def main(port: int) -> None:
    """Serve on a loopback port (0: a free one), pay, print and stop."""
    # One request after the other: a request is counted when its answer was sent, and then the next is read.
    server = make_server("127.0.0.1", port, app)
    threading.Thread(target=server.serve_forever).start()
    with requests.Session() as client:
        client.trust_env = False
        url = f"http://127.0.0.1:{server.server_port}"
        client.post(f"{url}/payments/order-1", data={"amount": 4200}, timeout=10)
        client.post(f"{url}/payments/order-2", data={"amount": 42_000}, timeout=10)
        metrics = client.get(f"{url}/metrics", timeout=10).text
    server.shutdown()
    server.server_close()
    for line in metrics.splitlines():
        if line.startswith(("moneypath_payments_total", "http_server")) and float(line.split()[-1]):
            print(line)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
