"""A consumer on RabbitMQ with aio-pika. Run it against a broker: it tells of payments and prints metrics.

python examples/rabbitmq_consumer.py amqp://guest:guest@127.0.0.1:5672/
"""

import asyncio
import sys

import aio_pika
from aio_pika.abc import AbstractIncomingMessage

from moneypath.telemetry import Catalogue, correlation, setup
from moneypath.telemetry.integrations import aio_pika as observed
from moneypath.telemetry.integrations import messages

VOCABULARY = {
    "providers": ("north",),
    "currencies": ("EUR",),
    "schemes": ("visa",),
    "checks": ("ledger_balance",),
    "queues": ("notifications",),
}
recorder = setup(Catalogue.build(VOCABULARY), service="notifier")
consumer = observed.Consumer(recorder, "notifications")
handled = asyncio.Semaphore(0)


async def notify(message: AbstractIncomingMessage) -> None:
    """Notify the merchant; an unreadable message becomes a dead letter."""
    if not message.body.startswith(b"{"):
        messages.set_aside("malformed")
        await message.reject()
    else:
        print("told of", message.body.decode(), "for the request", correlation.current())
        await message.ack()
    handled.release()


async def main(url: str) -> None:
    """Publish in the context of a request, consume in it, and print the metrics."""
    connection = await aio_pika.connect_robust(url)
    channel = await connection.channel()
    await channel.set_qos(prefetch_count=10)
    queue = await channel.declare_queue("example-paid", auto_delete=True)
    for body in (b'{"payment": 1}', b"what is this", b'{"payment": 2}'):
        with correlation.bound(correlation.mint()):
            message = aio_pika.Message(body, headers=observed.outgoing_headers())
        await channel.default_exchange.publish(message, routing_key=queue.name)
    backlog = observed.QueueBacklog(recorder, connection, name=queue.name, queue="notifications")
    await backlog.measure()
    await queue.consume(consumer.callback(notify))
    for _ in range(3):
        await handled.acquire()
    await backlog.measure()
    await connection.close()
    for line in recorder.render().decode().splitlines():
        if line.startswith(("moneypath_message", "moneypath_queue", "moneypath_dead")) and "le=" not in line:
            print(line)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "amqp://guest:guest@127.0.0.1:5672/"))
