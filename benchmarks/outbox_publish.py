"""How many events a second reach JetStream: each acknowledgement awaited alone, or a batch in flight.

Run `python benchmarks/outbox_publish.py`. A real server with `sync_interval: always`; the candidates run
interleaved, round by round, and medians are compared: trust the ratios, not the rates.
"""

import asyncio
import itertools
import statistics
import tempfile
from pathlib import Path
from time import perf_counter
from uuid import UUID

from nats.aio.client import Client

import measuring
from moneypath.stack import nats
from moneypath.stack.ports import PortPool
from moneypath.stack.supervisor import Supervisor
from refpay.outbox.relay import IN_FLIGHT, publish_event
from refpay.outbox.repository import Unpublished
from refpay.outbox.streams import EVENTS, Session, open_session

BODY = '{"schema":1,"type":"payment.captured"}'.ljust(360)
_SERIAL = itertools.count(1)


async def measure(session: Session, number: int, in_flight: int) -> float:
    """Publish `number` events, `in_flight` at a time; return events a second."""
    events = [Unpublished(UUID(int=next(_SERIAL)), "payment.captured", BODY) for _ in range(number)]
    begun = perf_counter()
    for start in range(0, number, in_flight):
        await asyncio.gather(*(publish_event(session, event) for event in events[start : start + in_flight]))
    return number / (perf_counter() - begun)


async def compare(folder: Path, rounds: int, number: int) -> dict[int, float]:
    """Return the median rate of each number in flight."""
    rates: dict[int, list[float]] = {1: [], 16: [], IN_FLIGHT: []}
    with PortPool() as ports:
        server = await nats.prepare(
            folder / "nats",
            ports.reserve("nats"),
            ports.reserve("nats-monitoring"),
            user="refpay",
            password="password-of-a-benchmark",  # noqa: S106  # a server that lives for seconds
        )
        async with Supervisor(folder) as supervisor:
            await supervisor.start(server.spec)
            client = Client()
            await client.connect(server.url, user="refpay", password=server.password, allow_reconnect=False)
            session = await open_session(client, ack_wait_seconds=10, in_flight=256)
            for _ in range(rounds):
                for in_flight, found in rates.items():
                    found.append(await measure(session, number, in_flight))
                await session.stream.purge_stream(EVENTS)
            await client.close()
    return {in_flight: statistics.median(found) for in_flight, found in rates.items()}


def main() -> None:
    """Print the rates and their ratios."""
    parser = measuring.parser("How many events a second reach JetStream.", rounds=1, events=16)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--events", type=int, default=1024, help="a round and candidate")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rates = asyncio.run(compare(Path(folder), given.rounds, given.events))
    rows = [
        measuring.Row(f"{in_flight} in flight", rate, "/s", detail=f"{rate / rates[1]:.2f} x one at a time")
        for in_flight, rate in rates.items()
    ]
    measuring.tell(rows, given.json)


if __name__ == "__main__":
    main()
