"""A Django service that counts payments and requests. Run it: it pays twice and prints its metrics.

The settings are in this file; in a project, `instrument(globals(), recorder)` is the last line of
settings.py.
"""

import sys
import threading
from wsgiref.simple_server import make_server

import requests
from django.conf import settings

from moneypath.telemetry import setup
from moneypath.telemetry.integrations.django import instrument

recorder = setup(service="checkout", providers=["north"], currencies=["EUR"])
options = {"ROOT_URLCONF": __name__, "ALLOWED_HOSTS": ["127.0.0.1"], "SECRET_KEY": "only-for-this-example"}
instrument(options, recorder)
settings.configure(**options)

from django.core.wsgi import get_wsgi_application  # noqa: E402 - needs the settings
from django.http import HttpRequest, JsonResponse  # noqa: E402
from django.urls import path  # noqa: E402


def pay(request: HttpRequest, reference: str) -> JsonResponse:
    """Authorize a payment."""
    with recorder.payment("authorize") as payment:
        status = "approved" if int(request.POST["amount"]) < 10_000 else "declined"
        payment.finish("succeeded" if status == "approved" else "declined", "north")
    return JsonResponse({"reference": reference, "status": status})


urlpatterns = [path("payments/<slug:reference>", pay)]


def main(port: int) -> None:
    """Serve on a loopback port (0: a free one), pay, print and stop."""
    with make_server("127.0.0.1", port, get_wsgi_application()) as server, requests.Session() as client:
        threading.Thread(target=server.serve_forever).start()
        client.trust_env = False
        url = f"http://127.0.0.1:{server.server_port}"
        client.post(f"{url}/payments/order-1", data={"amount": 4200}, timeout=10)
        client.post(f"{url}/payments/order-2", data={"amount": 42_000}, timeout=10)
        metrics = client.get(f"{url}/metrics", timeout=10).text
        server.shutdown()
    for line in metrics.splitlines():
        if line.startswith(("moneypath_payments_total", "http_server")) and float(line.split()[-1]):
            print(line)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
