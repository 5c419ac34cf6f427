"""Buy at the till, so often a second, until SIGINT: `python customers.py HOST:PORT PER_SECOND`."""

import contextlib
import http.client
import sys
import time


def buy(address: str) -> None:
    """Buy something for 2.50."""
    connection = http.client.HTTPConnection(address, timeout=5)
    with contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("POST", "/sales", b'{"cents": 250}', {"Content-Type": "application/json"})
        connection.getresponse().read()
    connection.close()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            buy(sys.argv[1].removeprefix("http://"))
            time.sleep(1 / float(sys.argv[2]))
