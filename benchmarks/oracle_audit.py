"""Measure the audit: seconds and peak memory for 10,000, 100,000 and 1,000,000 captures.

Each capture is authorized, posted with two lines, asked for twice and answered twice: eight rows. Rows are
made while they are read, as a ledger's reader does. A size runs in a process of its own, so that its memory
is its own; the peak is the sum over all its processes (PSS).

    python benchmarks/oracle_audit.py [--captures N ...]
"""

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Final

import measuring
from moneypath.oracle import (
    Acknowledgement,
    Charge,
    ChargeStatus,
    Operation,
    Outcome,
    PostingLine,
    Request,
    audit,
)
from moneypath.stack.memory import read_trees

_SAMPLED_EVERY_SECONDS: Final = 1.0
SIZES: Final = (10_000, 100_000, 1_000_000)
SECONDS_GOAL: Final = 60.0
MEGABYTES_GOAL: Final = 1000.0
_OPERATIONS: Final = (
    (Operation.AUTHORIZE, ChargeStatus.APPROVED),
    (Operation.CAPTURE, ChargeStatus.CAPTURED),
)


def postings(captures: int) -> Iterator[PostingLine]:
    """Yield two lines for each capture."""
    for number in range(captures):
        for account, minor in (("provider_receivable:north", 1000), ("merchant_payable:shop", -1000)):
            yield PostingLine(
                f"entry-{number}", "posting", f"operation-{number}", "north", f"key-{number}-capture",
                f"payment-{number}", f"order-{number}", f"order-{number}-capture", account, "EUR", minor,
                float(number), "shop",
            )  # fmt: skip


def book(captures: int) -> Iterator[Charge]:
    """Yield an authorization and a capture for each capture."""
    for number in range(captures):
        for operation, status in _OPERATIONS:
            parent = f"authorize-{number}" if operation is Operation.CAPTURE else ""
            yield Charge(
                "north", number, f"key-{number}-{operation}", operation, f"order-{number}", 1000, "EUR",
                "411111", status, f"{operation}-{number}", float(number), parent,
            )  # fmt: skip


def requests(captures: int) -> Iterator[Request]:
    """Yield what the client asked for."""
    for number in range(captures):
        for operation, _ in _OPERATIONS:
            yield Request(
                float(number),
                operation,
                f"order-{number}-{operation}",
                f"order-{number}",
                "shop",
                1000,
                "EUR",
            )


def answers(captures: int) -> Iterator[Acknowledgement]:
    """Yield what the client was told."""
    for number in range(captures):
        for operation, _ in _OPERATIONS:
            yield Acknowledgement(
                float(number), operation, f"order-{number}-{operation}", f"order-{number}",
                f"payment-{number}", 1000, "EUR", 200, Outcome.SUCCEEDED, False, "shop",
            )  # fmt: skip


def main() -> int:
    """Measure every size in a process of its own, or one size in this process."""
    arguments = _parser().parse_args()
    if arguments.one is not None:
        sys.stdout.write(json.dumps(_measure(arguments.one)) + "\n")
        return 0
    rows: list[measuring.Row] = []
    for captures in arguments.captures:
        command = [sys.executable, __file__, "--one", str(captures)]
        ended = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - this script
        found = json.loads(ended.stdout)
        goals = (SECONDS_GOAL, MEGABYTES_GOAL) if captures == SIZES[-1] else (None, None)
        name = f"audit of {captures:,} captures"
        used = f"CPU: {found['reading']:.1f} s to read, {found['auditing']:.1f} s in two processes to audit"
        rows += [
            measuring.Row(name, found["seconds"], "s", goals[0], used),
            measuring.Row(f"memory at {captures:,} captures", found["megabytes"], "MB", goals[1]),
        ]
    measuring.tell(rows, arguments.json)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = measuring.parser("The audit's seconds and peak memory.", captures=[1_000])
    parser.add_argument("--captures", type=int, nargs="+", default=SIZES, help="sizes (default %(default)s)")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    return parser


def _cpu_seconds() -> tuple[float, float]:
    """Return the processor time of this process and of those that it has waited for."""
    times = os.times()
    return times.user + times.system, times.children_user + times.children_system


def _measure(captures: int) -> dict[str, float]:
    """Audit, and return seconds and megabytes."""
    done = threading.Event()
    peak = 0

    def sample() -> None:
        nonlocal peak
        ended = False
        while not ended:
            peak = max(peak, read_trees({"all": os.getpid()})["all"].pss_bytes)
            ended = done.wait(_SAMPLED_EVERY_SECONDS)

    sampler = threading.Thread(target=sample)
    sampler.start()
    begun, used_before = time.perf_counter(), _cpu_seconds()
    report = audit(postings(captures), book(captures), answers(captures), requests=requests(captures))
    seconds = time.perf_counter() - begun
    mine, others = (after - before for after, before in zip(_cpu_seconds(), used_before, strict=True))
    done.set()
    sampler.join()
    if not report.whole:
        sys.exit("the audit of healthy rows is not whole")
    return {"seconds": seconds, "megabytes": peak / 1e6, "reading": mine, "auditing": others}


if __name__ == "__main__":
    sys.exit(main())
