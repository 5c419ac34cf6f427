"""Customers of the wallet: they top up, send money on, and withdraw, until SIGINT or SIGTERM.

    python customers.py http://127.0.0.1:8000 APP_TOKEN_FILE USERS PER_SECOND SEED ANSWERS_FILE

What is asked of a bank is written to ANSWERS_FILE, before it is sent and when it is answered, in the words of
moneypath's log of acknowledgements: a top-up is a capture, a withdrawal a payout. A request without a final
answer is sent again, with the same key, for up to 20 s. Its exit code is 0 however the wallet answered.
"""

import asyncio
import contextlib
import json
import os
import random
import secrets
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx

AGAIN_SECONDS: Final = 0.5
PATIENCE_SECONDS: Final = 20.0
ANSWER_SECONDS: Final = 6.0
OPERATIONS: Final = {"/topups": "capture", "/withdrawals": "payout"}
OUTCOMES: Final = {201: "succeeded", 402: "declined", 502: "failed", 202: "indeterminate"}
FINAL: Final = (201, 402, 502)


class Log:
    """The file of what was asked and answered; each line is one write."""

    def __init__(self, file: str) -> None:
        self._file = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, line: Mapping[str, object]) -> None:
        """Append a line."""
        os.write(self._file, json.dumps({"at": round(time.time(), 6), **line}).encode() + b"\n")


@dataclass(slots=True)
class Customer:
    """One customer with a purse of its own."""

    client: httpx.AsyncClient
    log: Log
    draw: random.Random
    name: str
    purse: str = ""
    cents: int = 0
    orders: int = 0
    friends: list["Customer"] = field(default_factory=list)

    async def open(self) -> None:
        """Open a purse, as often as it takes."""
        while not self.purse:
            with contextlib.suppress(httpx.HTTPError, ValueError, KeyError):
                answer = await self.client.post("/purses", json={"holder": self.name, "currency": "EUR"})
                self.purse = str(answer.json()["purse"])
            if not self.purse:
                await asyncio.sleep(AGAIN_SECONDS)

    async def act(self) -> None:
        """Do one thing: most often top up."""
        lot, amount = self.draw.random(), self.draw.randrange(100, 5000)
        friend = self.draw.choice(self.friends)
        if lot < 0.15 and self.cents >= 2 * amount:
            if await self._ask("/withdrawals", amount):
                self.cents -= amount
        elif lot < 0.4 and self.cents >= 2 * amount and friend is not self and friend.purse:
            if await self._ask("/transfers", amount, to=friend.purse):
                self.cents -= amount
        elif await self._ask("/topups", amount):
            self.cents += amount

    async def _ask(self, path: str, cents: int, **more: str) -> bool:
        self.orders += 1
        key = f"{self.name}-{self.orders}"
        body = {"purse": self.purse, "reference": f"ref-{key}", "cents": cents, "currency": "EUR", **more}
        line = {
            "operation": OPERATIONS.get(path, ""), "idempotency_key": key, "merchant_reference": f"ref-{key}",
            "merchant": self.purse, "amount_minor": cents, "currency": "EUR",
        }  # fmt: skip
        until, again = time.monotonic() + PATIENCE_SECONDS, False
        while True:
            if line["operation"]:
                self.log.write(line)
            status = await self._send(path, key, body)
            if line["operation"]:
                outcome = OUTCOMES.get(status, "unknown")
                self.log.write(
                    {**line, "payment_id": None, "status_code": status, "outcome": outcome, "replayed": again}
                )
            if status in FINAL or time.monotonic() > until:
                return status == 201
            again = True
            await asyncio.sleep(AGAIN_SECONDS)

    async def _send(self, path: str, key: str, body: Mapping[str, object]) -> int:
        try:
            answer = await self.client.post(path, json=body, headers={"X-Request-Key": key})
        except httpx.HTTPError:
            return 0
        return answer.status_code


async def run(url: str, token_file: str, users: int, per_second: float, seed: int, answers_file: str) -> None:
    """Have all customers act, together `per_second` times, until somebody stops them."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    token = Path(token_file).read_text(encoding="utf-8").strip()
    log, nonce = Log(answers_file), secrets.token_hex(4)
    async with httpx.AsyncClient(
        base_url=url, timeout=ANSWER_SECONDS, trust_env=False, headers={"Authorization": f"Bearer {token}"},
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=users),
    ) as client:  # fmt: skip
        everybody = [
            Customer(client, log, random.Random(seed * 1000 + number), f"c{number}-{nonce}")  # noqa: S311 - no secret
            for number in range(users)
        ]
        for one in everybody:
            one.friends = everybody
        await asyncio.gather(*(one.open() for one in everybody))
        await _drive(everybody, per_second, stop)


async def _drive(everybody: list[Customer], per_second: float, stop: asyncio.Event) -> None:
    """Let a free customer act whenever one is due."""
    free, busy = list(everybody), set[asyncio.Task[None]]()

    async def act(one: Customer) -> None:
        try:
            await one.act()
        finally:
            free.append(one)

    due = time.monotonic()
    while not stop.is_set():
        if free:
            task = asyncio.create_task(act(free.pop(0)))
            busy.add(task)
            task.add_done_callback(busy.discard)
        due += 1 / per_second
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), max(0.0, due - time.monotonic()))
    # What was asked for is waited for: who leaves in the middle leaves an order that nobody was told of.
    if busy:
        _, left = await asyncio.wait(busy, timeout=PATIENCE_SECONDS)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


if __name__ == "__main__":
    address, token, count, rate, number, log_file = sys.argv[1:]
    asyncio.run(run(address, token, int(count), float(rate), int(number), log_file))
