"""aio-pika with a real RabbitMQ: contexts, acknowledgements and their effect, backlogs.

The broker is that of MONEYPATH_TEST_AMQP_URL, or one from Debian's packages.
"""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import aio_pika as library
import pytest
import pytest_asyncio
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue, AbstractRobustConnection

from moneypath.stack import rabbitmq
from moneypath.stack.errors import PackageUnavailable
from moneypath.stack.ports import PortPool
from moneypath.stack.supervisor import Supervisor
from moneypath.telemetry import LabelsUnknown, Recorder, correlation
from moneypath.telemetry.correlation import Context
from moneypath.telemetry.integrations import aio_pika, messages

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.live]

WITHIN_SECONDS = 30
_SERIAL = itertools.count(1)
Read = Callable[..., float | None]
Counts = Callable[[], tuple[float | None, float | None, float | None]]
Dead = Callable[[], dict[str, float]]
RunExample = Callable[..., Awaitable[str]]


@pytest.fixture(scope="module")
def ports() -> Iterator[PortPool]:
    """Reserve ports for the module."""
    with PortPool({}) as ports:
        yield ports


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def url(ports: PortPool, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """Run a broker for this module, unless the environment names one."""
    if given := os.environ.get("MONEYPATH_TEST_AMQP_URL"):
        yield given
        return
    folder = tmp_path_factory.mktemp("rabbitmq")
    try:
        broker = await rabbitmq.prepare(
            folder / "node",
            port=ports.reserve("rabbitmq"),
            names_port=ports.reserve("rabbitmq-names"),
            distribution_port=ports.reserve("rabbitmq-distribution"),
            user="team",
            password="password-of-a-test",
        )
    except PackageUnavailable as problem:
        pytest.skip(f"no RabbitMQ: {problem.what}; name one in MONEYPATH_TEST_AMQP_URL")
    async with Supervisor(folder) as supervisor:
        await supervisor.start(broker.names)
        await supervisor.start(broker.spec)
        yield broker.url


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def connection(url: str) -> AsyncIterator[AbstractRobustConnection]:
    """Connect to it."""
    opened = await library.connect_robust(url)
    yield opened
    await opened.close()


@dataclass(frozen=True, slots=True)
class Bench:
    """One test's queue and its dead-letter queue."""

    producer: Context
    channel: AbstractChannel
    queue: AbstractQueue
    graves: AbstractQueue

    async def publish(self, headers: Any = None) -> None:
        """Publish as a team does, in the context of a request."""
        with correlation.entered(self.producer):
            message = library.Message(b"{}", headers=aio_pika.outgoing_headers(headers))
        await self.channel.default_exchange.publish(message, routing_key=self.queue.name)

    async def get(self) -> AbstractIncomingMessage:
        """Return the next message."""
        return await _get(self.queue)


async def _get(queue: AbstractQueue) -> AbstractIncomingMessage:
    async with asyncio.timeout(WITHIN_SECONDS):
        while (message := await queue.get(fail=False)) is None:  # noqa: ASYNC110 - basic.get does not wait
            await asyncio.sleep(0.01)
    return message


@pytest_asyncio.fixture(loop_scope="module")
async def bench(connection: AbstractRobustConnection, producer: Context) -> AsyncIterator[Bench]:
    """Make both queues; a message is requeued twice at most."""
    number = next(_SERIAL)
    channel = await connection.channel()
    graves = await channel.declare_queue(f"graves-{number}", auto_delete=False)
    queue = await channel.declare_queue(
        f"payments-{number}",
        durable=True,
        arguments={
            "x-queue-type": "quorum",
            "x-delivery-limit": 2,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": graves.name,
        },
    )
    yield Bench(producer, channel, queue, graves)
    await queue.delete(if_unused=False, if_empty=False)
    await graves.delete(if_unused=False, if_empty=False)
    await channel.close()


@pytest.fixture
def consumer(recorder: Recorder) -> aio_pika.Consumer:
    """Observe the notifications."""
    return aio_pika.Consumer(recorder, "notifications", delivery_limit=2)


async def test_a_message_is_handled_in_the_context_of_its_producer(
    bench: Bench, consumer: aio_pika.Consumer, counts: Counts
) -> None:
    """In a callback that acknowledges as usual; other headers of any type are intact."""
    seen: asyncio.Future[tuple[Context | None, Any]] = asyncio.get_running_loop().create_future()

    async def handle(message: AbstractIncomingMessage) -> None:
        async with message.process():
            seen.set_result((correlation.active(), message.headers))

    await bench.publish({"kind": "refund", "attempt": 7, "Traceparent": "stale"})
    tag = await bench.queue.consume(consumer.callback(handle))
    async with asyncio.timeout(WITHIN_SECONDS):
        context, headers = await seen
        while counts() != (1, 0, 0):  # noqa: ASYNC110 - a counter has no event
            await asyncio.sleep(0.01)
    await bench.queue.cancel(tag)
    assert context is not None
    assert context.trace is not None
    assert (context.correlation_id, context.payment_id) == ("order-12345678", None)
    assert context.trace.trace_id == "0af7651916cd43dd8448eb211c80319c"
    assert (headers["kind"], headers["attempt"]) == ("refund", 7)
    assert "Traceparent" not in headers


async def test_an_iterator_is_observed_as_a_callback_is(
    bench: Bench, consumer: aio_pika.Consumer, counts: Counts, dead: Dead
) -> None:
    """An exception of the block passes on, and the library rejects the message as usual."""
    await bench.publish()
    with pytest.raises(KeyError):
        async with bench.queue.iterator() as iterator:
            async for message in iterator:
                with consumer.handling(message):
                    async with message.process():
                        raise KeyError
    assert dead() == {"rejected": 1}
    assert counts() == (0, 0, 1)
    assert messages.current_handling() is None


@pytest.mark.parametrize("verdict", ["reject", "nack", "process"])
async def test_what_does_not_go_back_is_a_dead_letter(
    bench: Bench, consumer: aio_pika.Consumer, dead: Dead, verdict: str
) -> None:
    """However it is rejected, with the handler's reason or `rejected`; the broker's count agrees."""
    for reason in ("malformed", None):
        await bench.publish()
        message = await bench.get()
        with consumer.handling(message):
            if reason is not None:
                messages.set_aside(reason)
            if verdict == "reject":
                await message.reject()
            elif verdict == "nack":
                await message.nack(requeue=False)
            else:
                with pytest.raises(KeyError):
                    async with message.process():
                        raise KeyError
    assert dead() == {"malformed": 1, "rejected": 1}
    for _ in range(2):
        letter = await _get(bench.graves)
        assert letter.headers["x-death"][0]["reason"] == "rejected"  # type: ignore[index, call-overload]
        assert letter.headers["x-correlation-id"] == "order-12345678"
        await letter.ack()


async def test_what_goes_back_is_a_failed_delivery_until_the_queue_takes_it_no_more(
    bench: Bench, consumer: aio_pika.Consumer, counts: Counts, dead: Dead
) -> None:
    """The queue requeues it twice; the third time it is a dead letter, with the broker's reason."""
    await bench.publish()
    for failed in (1, 2):
        message = await bench.get()
        with consumer.handling(message):
            await message.nack(requeue=True)
        assert (counts(), dead()) == ((0, failed, 0), {})
    message = await bench.get()
    with consumer.handling(message):
        await message.reject(requeue=True)
    assert (counts(), dead()) == ((0, 2, 1), {"attempts_exhausted": 1})
    letter = await _get(bench.graves)
    assert letter.headers["x-death"][0]["reason"] == "delivery_limit"  # type: ignore[index, call-overload]
    await letter.ack()


@pytest.mark.parametrize(
    "headers",
    [
        {"x-correlation-id": bytearray(b"order-\xff"), "traceparent": 7, "tracestate": None},
        {"x-correlation-id": "o" * 100_000},
        {"x-correlation-id": {"order": "12345678"}, "traceparent": ["00"]},
        {"x-correlation-id": "order-12345678", "X-Correlation-Id": "order-12345679"},
        {"x-delivery-count": "many"},
    ],
)
async def test_hostile_headers_of_a_message_are_harmless(
    bench: Bench, consumer: aio_pika.Consumer, counts: Counts, headers: Any
) -> None:
    """With headers of every AMQP type the message is handled under a new id."""
    await bench.channel.default_exchange.publish(
        library.Message(b"{}", headers=headers), routing_key=bench.queue.name
    )
    message = await bench.get()
    with consumer.handling(message):
        current = correlation.current()
        await message.ack()
    assert current is not None
    assert "order" not in current
    assert counts() == (1, 0, 0)


async def test_depth_is_what_the_broker_says(
    bench: Bench, connection: AbstractRobustConnection, recorder: Recorder, read: Read
) -> None:
    """It counts ready messages; a missing queue is unknown, and no consumer's channel is closed."""
    backlog = aio_pika.QueueBacklog(recorder, connection, name=bench.queue.name, queue="notifications")
    for _ in range(3):
        await bench.publish()
    async with asyncio.timeout(WITHIN_SECONDS):
        while read("moneypath_queue_depth", queue="notifications") != 3:
            assert await backlog.measure()
    assert read("moneypath_queue_oldest_timestamp_seconds", queue="notifications") is None
    missing = aio_pika.QueueBacklog(recorder, connection, name="nobody", queue="notifications")
    assert not await missing.measure()
    assert read("moneypath_queue_depth", queue="notifications") is None
    await (await bench.get()).ack()


async def test_an_unknown_queue_is_refused_for_rabbitmq(
    connection: AbstractRobustConnection, recorder: Recorder
) -> None:
    """By the consumer and by the backlog."""
    with pytest.raises(LabelsUnknown):
        aio_pika.Consumer(recorder, "refunds")
    with pytest.raises(LabelsUnknown):
        aio_pika.QueueBacklog(recorder, connection, name="payments", queue="refunds")


async def test_the_example_for_rabbitmq_runs(url: str, run_example: RunExample) -> None:
    """Two are handled, the unreadable one is a dead letter, and none is left."""
    output = await run_example("rabbitmq_consumer.py", url)
    assert output.count("told of") == 2
    for line in (
        'moneypath_message_duration_seconds_count{queue="notifications",outcome="handled"} 2',
        'moneypath_dead_letters_total{queue="notifications",reason="malformed"} 1',
        'moneypath_queue_depth{queue="notifications"} 0',
    ):
        assert f"{line}\n" in output.replace(".0\n", "\n")
