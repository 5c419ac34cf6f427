"""A consumer on Kafka with aiokafka. Without an address it handles two records that no broker has seen.

python examples/kafka_consumer.py 127.0.0.1:9092
"""

import asyncio
import sys

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import ConsumerRecord

from moneypath.telemetry import Catalogue, correlation, setup
from moneypath.telemetry.integrations import aiokafka as observed
from moneypath.telemetry.integrations import messages

TOPIC = "example-paid"
VOCABULARY = {
    "providers": ("north",),
    "currencies": ("EUR",),
    "schemes": ("visa",),
    "checks": ("ledger_balance",),
    "queues": ("notifications",),
}
BODIES = (b'{"payment": 1}', b"what is this")
recorder = setup(Catalogue.build(VOCABULARY), service="notifier")
consumer = observed.Consumer(recorder, "notifications")


@consumer.callback
async def notify(record: ConsumerRecord) -> None:
    """Notify the merchant. Kafka has no dead letters, so an unreadable record is reported as one."""
    if not (record.value or b"").startswith(b"{"):
        messages.set_aside("malformed")
        return
    print("told of", record.value.decode(), "for the request", correlation.current())


async def main(address: str) -> None:
    """Produce in the context of a request, and consume in the same context."""
    async with AIOKafkaProducer(bootstrap_servers=address) as producer:
        for body in BODIES:
            with correlation.bound(correlation.mint()):
                await producer.send_and_wait(TOPIC, body, headers=observed.outgoing_headers())
    async with AIOKafkaConsumer(
        TOPIC, bootstrap_servers=address, group_id="notifier", auto_offset_reset="earliest"
    ) as client:
        backlog = observed.TopicBacklog(recorder, client, topic=TOPIC, queue="notifications")
        await backlog.measure()
        for _ in BODIES:
            await notify(await client.getone())
        await client.commit()
        await backlog.measure()


async def rehearse() -> None:
    """Handle records as the client would deliver them."""
    for offset, body in enumerate(BODIES):
        with correlation.bound(correlation.mint()):
            headers = observed.outgoing_headers()
        await notify(ConsumerRecord(TOPIC, 0, offset, 0, 0, None, body, None, -1, len(body), headers))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]) if len(sys.argv) > 1 else rehearse())
    for line in recorder.render().decode().splitlines():
        if line.startswith(("moneypath_message", "moneypath_queue", "moneypath_dead")) and "le=" not in line:
            print(line)
