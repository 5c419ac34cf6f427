"""Customers of the till, who buy until SIGINT or SIGTERM.

    python customers.py http://HOST:PORT USERS PER_SECOND ANSWERS_FILE

Nobody waits for anybody else, so sales that fail slowly do not come less often, and nobody asks twice for the
same sale. ANSWERS_FILE is moneypath's log of acknowledgements: a line for what was asked, and one for the
answer. ANSWERS_FILE.told holds what customers were told, as a file of witnesses has it.
"""

import http.client
import json
import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime

OUTCOMES = {201: "succeeded", 503: "failed"}
NO_ANSWER = 0
STOPPED = threading.Event()


def buy(address: str, reference: str) -> int:
    """Buy something for 2.50 and return the status, 0 without an answer."""
    connection = http.client.HTTPConnection(address, timeout=5)
    try:
        body = json.dumps({"reference": reference, "cents": 250})
        connection.request("POST", "/sales", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException):
        return NO_ANSWER
    finally:
        connection.close()
    return answer.status


def keep_buying(address: str, name: str, every: float, first: float, files: tuple[int, int]) -> None:
    """Buy every so many seconds, the first time after `first`."""
    due, count = time.monotonic() + first, 0
    while not STOPPED.wait(max(0.0, due - time.monotonic())):
        due, count = due + every, count + 1
        reference = f"{name}-{count}"
        names = {"idempotency_key": reference, "merchant_reference": reference, "currency": "EUR"}
        asked = {**names, "operation": "capture", "amount_minor": 250, "merchant": "shop"}
        write(files[0], {"at": round(time.time(), 6), **asked})
        status = buy(address, reference)
        at, outcome = time.time(), OUTCOMES.get(status, "unknown")
        answer = {"payment_id": None, "status_code": status, "outcome": outcome, "replayed": False}
        write(files[0], {"at": round(at, 6), **asked, **answer})
        told = {"kind": "capture", "amount": 250, "beneficiary": "shop", "outcome": outcome}
        write(files[1], {"at": datetime.fromtimestamp(at, UTC).isoformat(), **names, **told})


def write(file: int, line: Mapping[str, object]) -> None:
    """Append a line in one write."""
    os.write(file, json.dumps(line).encode() + b"\n")


def main(url: str, users: str, per_second: str, answers_file: str) -> None:
    """Have so many users buy so often together, until somebody stops them."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: STOPPED.set())
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    files = (os.open(answers_file, flags, 0o600), os.open(f"{answers_file}.told", flags, 0o600))
    nonce, every = secrets.token_hex(4), int(users) / float(per_second)
    words = [(f"c{each}-{nonce}", every, every * each / int(users)) for each in range(int(users))]
    everybody = [
        threading.Thread(target=keep_buying, args=(url.removeprefix("http://"), *each, files))
        for each in words
    ]
    for one in everybody:
        one.start()
    for one in everybody:
        one.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
