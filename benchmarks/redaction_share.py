"""Which share of harmless numbers redaction masks by chance, beside the floor that the issuers' table sets.

Run `python benchmarks/redaction_share.py`. The floor of a length is the share of prefixes that are issued at
it, times the one check digit in ten: no redaction that masks every card number can mask less.
"""

import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import product
from math import prod
from random import Random

import measuring
from moneypath.telemetry.redaction import redact
from moneypath.telemetry.redaction.issuers import PREFIXES, chance_share, usual_lengths

SEED = 20261122
GOAL = 1.2
LENGTHS = range(12, 20)
GROUPED_LENGTHS = range(12, 17)
LONG_LENGTHS = (20, 24, 32)
EPOCH = datetime(2020, 1, 1, tzinfo=UTC)


def numbers(length: int, bodies: int, step: int, random: Random) -> Iterator[str]:
    """Yield random digit strings, all first four and all last digits alike often.

    So stratified, chance leaves little: a plain draw of 12 digits would find a card number once in ten
    thousand.
    """
    rest = length - 5
    for prefix, _ in product(range(0, PREFIXES, step), range(bodies)):
        body = f"{prefix:04}{random.randrange(10**rest):0{rest}}"
        yield from (f"{body}{digit}" for digit in range(10))


def fours(number: str) -> str:
    """Write a number in groups of four, dashed."""
    return "-".join(number[start : start + 4] for start in range(0, len(number), 4))


def border_floor() -> float:
    """Return how many longer digit strings begin or end with a card number, by chance.

    Numbers of one prefix and several lengths are independent chances: each has a check digit of its own.
    """
    lengths = [usual_lengths(f"{prefix:04}") for prefix in range(PREFIXES)]
    begins = sum(1 - 0.9 ** len(usual) for usual in lengths) / PREFIXES
    shares = (sum(length in usual for usual in lengths) / PREFIXES / 10 for length in LENGTHS)
    ends = 1 - prod(1 - share for share in shares)
    return 1 - (1 - begins) * (1 - ends)


def measure(what: str, texts: Iterator[str], floor: float) -> measuring.Row:
    """Redact each text on its own; tell the changed ones as a multiple of those that have to be, by chance.

    Where none has to be the share itself is told, and the goal is none.
    """
    drawn = changed = 0
    for text in texts:
        drawn += 1
        changed += redact(text) != text
    share = changed / drawn
    if not floor:
        return measuring.Row(what, share, "masked", 0, f"{drawn} drawn")
    return measuring.Row(what, share / floor, "x floor", GOAL, f"{drawn} drawn, {share:.4%} of {floor:.4%}")


def harmless(count: int, random: Random) -> dict[str, Iterator[str]]:
    """Return texts that look alike and are none."""
    moments = [EPOCH + timedelta(microseconds=random.randrange(10**14)) for _ in range(count)]
    return {
        "UUIDs": (str(uuid.UUID(int=random.getrandbits(128), version=4)) for _ in range(count)),
        "SHA-256 in hexadecimal": (sha256(random.randbytes(8)).hexdigest() for _ in range(count)),
        "trace ids": (f"{random.getrandbits(128):032x}" for _ in range(count)),
        "times in ISO 8601": (moment.isoformat() for moment in moments),
        "times in compact form": (f"{moment:%Y%m%d%H%M%S%f}" for moment in moments),
        "milliseconds since 1970": (f"at {round(moment.timestamp() * 1e3)}" for moment in moments),
        "nanoseconds since 1970": (f"at {round(moment.timestamp() * 1e9)}" for moment in moments),
        "telephone numbers": (
            f"+49 {random.randrange(10**2, 10**3)} {random.randrange(10**7)}" for _ in moments
        ),
        "amounts": (f"{random.randrange(10**9)}.{random.randrange(100):02} EUR" for _ in moments),
        "fractions": (f"took {random.random()!r} s" for _ in moments),
        "order ids": (f"ORD-2026-{random.randrange(10**6):06}" for _ in moments),
    }


def rows(bodies: int, step: int) -> Iterator[measuring.Row]:
    """Measure everything."""
    random = Random(SEED)  # noqa: S311 - drawn again alike
    texts: Iterator[str]
    for length in LENGTHS:
        texts = (f"id {number} ok" for number in numbers(length, bodies, step, random))
        yield measure(f"{length} digits", texts, chance_share(length))
    # Longer ones hold whole groups that are a card number, with another group beside it.
    for length in GROUPED_LENGTHS:
        texts = (f"id {fours(number)} ok" for number in numbers(length, bodies, step, random))
        yield measure(f"{length} digits, dashed by four", texts, chance_share(length))
    for length in LONG_LENGTHS:
        texts = (f"id {number} ok" for number in numbers(length, bodies, step, random))
        yield measure(f"{length} digits, at both ends", texts, border_floor())
    for name, texts in harmless(bodies * 20_000 // step, random).items():
        yield measure(name, texts, 0)


def main() -> int:
    """Measure and print; the exit code is 1 if a goal is missed."""
    parser = measuring.parser("Which share of harmless numbers is masked by chance.", step=100)
    parser.add_argument("--bodies", type=int, default=1, help="random bodies for each first four digits")
    parser.add_argument("--step", type=int, default=1, help="of the first four digits (default 1)")
    given = parser.parse_args()
    measured = list(rows(given.bodies, given.step))
    measuring.tell(measured, given.json)
    # The floor is that of all prefixes.
    return int(given.step == 1 and not all(row.is_met for row in measured))


if __name__ == "__main__":
    sys.exit(main())
