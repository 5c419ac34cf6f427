"""Calls to a provider with requests. Run it: the provider approves, declines, fails and hangs up.

A decline is in the response body, so `classify` recognises it. A connection lost after sending is
`indeterminate`.
"""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests

from moneypath.telemetry import setup
from moneypath.telemetry.integrations.requests import instrument

recorder = setup(service="checkout", providers=["north"], currencies=["EUR"])


def classify(answer: requests.Response) -> str | None:
    """Recognise a decline; whatever else is answered, the status decides."""
    try:
        content = answer.json()
    except ValueError:
        return None
    declined = isinstance(content, dict) and content.get("status") == "declined"
    return "declined" if 200 <= answer.status_code < 300 and declined else None


class Provider(BaseHTTPRequestHandler):
    """A provider that responds as the path says."""

    def do_POST(self) -> None:
        """Respond, or close the connection."""
        answers = {
            "/approve": (200, b'{"status": "approved"}'),
            "/decline": (200, b'{"status": "declined"}'),
            "/break": (503, b""),
        }
        if self.path in answers:
            status, body = answers[self.path]
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


def main() -> None:
    """Call the provider in every way and print the metrics."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Provider) as server, requests.Session() as north:
        threading.Thread(target=server.serve_forever).start()
        north.trust_env = False
        instrument(north, recorder, provider="north", operation="authorize", classify=classify)
        for path in ("/approve", "/decline", "/break", "/hang-up"):
            try:
                north.post(f"http://127.0.0.1:{server.server_port}{path}", timeout=5)
            except requests.RequestException as error:
                print(f"{path}: {type(error).__name__}")
        server.shutdown()
    for line in recorder.render().decode().splitlines():
        if line.startswith("moneypath_provider_attempts_total") and float(line.split()[-1]):
            print(line)


if __name__ == "__main__":
    main()
