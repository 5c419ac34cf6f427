"""A consumer on NATS JetStream. Run it against a server: it tells of payments and prints what it counted.

python examples/nats_consumer.py nats://127.0.0.1:4222
"""

import asyncio
import sys

import nats
from nats.aio.msg import Msg
from nats.js import api

from moneypath.telemetry import Catalogue, correlation, setup
from moneypath.telemetry.integrations import messages
from moneypath.telemetry.integrations import nats as observed

VOCABULARY = {
    "providers": ("north",),
    "currencies": ("EUR",),
    "schemes": ("visa",),
    "checks": ("ledger_balance",),
    "queues": ("notifications",),
}
recorder = setup(Catalogue.build(VOCABULARY), service="notifier")
consumer = observed.Consumer(recorder, "notifications")


async def notify(message: Msg) -> None:
    """Notify the merchant; an unreadable message becomes a dead letter."""
    if not message.data.startswith(b"{"):
        messages.set_aside("malformed")
        await message.term()
        return
    print("told of", message.data.decode(), "for the request", correlation.current())


async def main(url: str) -> None:
    """Publish in the context of a request, consume in it, and print the metrics."""
    client = await nats.connect(url)
    stream = client.jetstream()
    await stream.add_stream(name="EXAMPLE", subjects=["example.>"], storage=api.StorageType.MEMORY)
    await stream.subscribe("example.paid", durable="notifier", cb=consumer.callback(notify))
    of = {"stream": "EXAMPLE", "consumer": "notifier", "queue": "notifications"}
    await observed.count_given_up(recorder, client, **of)
    for body in (b'{"payment": 1}', b"what is this", b'{"payment": 2}'):
        with correlation.bound(correlation.mint()):
            await stream.publish("example.paid", body, headers=observed.outgoing_headers())
    backlog = observed.StreamBacklog(
        recorder, stream, name="EXAMPLE", consumer="notifier", queue="notifications"
    )
    await backlog.measure()
    while (await stream.consumer_info("EXAMPLE", "notifier")).num_ack_pending:
        await asyncio.sleep(0.05)
    await backlog.measure()
    await stream.delete_stream("EXAMPLE")
    await client.drain()
    for line in recorder.render().decode().splitlines():
        if line.startswith(("moneypath_message", "moneypath_queue", "moneypath_dead")) and "le=" not in line:
            print(line)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "nats://127.0.0.1:4222"))
