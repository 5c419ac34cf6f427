"""nats-py with a real server: contexts through JetStream, acknowledgements, given-up messages, backlogs."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext, api

from moneypath.stack import nats as nats_server
from moneypath.stack.ports import PortPool
from moneypath.stack.supervisor import Supervisor
from moneypath.telemetry import LabelsUnknown, Recorder, correlation
from moneypath.telemetry.correlation import Context
from moneypath.telemetry.integrations import messages, nats

pytestmark = pytest.mark.asyncio(loop_scope="module")

WITHIN_SECONDS = 20
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
    """Run a server of this module's own."""
    folder = tmp_path_factory.mktemp("nats")
    server = await nats_server.prepare(
        folder, ports.reserve("nats"), ports.reserve("monitoring"), user="team", password="password-of-a-test"
    )
    async with Supervisor(folder) as supervisor:
        await supervisor.start(server.spec)
        yield server.url.replace("//", f"//team:{server.password}@")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(url: str) -> AsyncIterator[Client]:
    """Connect to it."""
    connection = Client()
    await connection.connect(url, allow_reconnect=False)
    yield connection
    await connection.close()


@dataclass(frozen=True, slots=True)
class Bench:
    """One test's own stream with one consumer."""

    producer: Context
    stream: JetStreamContext
    name: str
    subject: str

    async def publish(self, data: bytes = b"{}", headers: dict[str, str] | None = None) -> None:
        """Publish as a team does, in the context of a request."""
        with correlation.entered(self.producer):
            await self.stream.publish(self.subject, data, headers=nats.outgoing_headers(headers))

    async def consumer(self, *, max_deliver: int = -1, ack_wait: float = 30) -> api.ConsumerInfo:
        """Make the stream's consumer, for pulling."""
        config = api.ConsumerConfig(
            durable_name="worker",
            ack_policy=api.AckPolicy.EXPLICIT,
            max_deliver=max_deliver,
            ack_wait=ack_wait,
        )
        return await self.stream.add_consumer(self.name, config)

    async def fetch(self, batch: int = 1) -> list[Msg]:
        """Return the next messages; the server may know of one a moment after it took it."""
        found: list[Msg] = []
        subscription = await self.stream.pull_subscribe_bind(consumer="worker", stream=self.name)
        try:
            while len(found) < batch:
                found += await subscription.fetch(batch - len(found), timeout=WITHIN_SECONDS)
            return found
        finally:
            await subscription.unsubscribe()

    async def waiting(self) -> int:
        """Return how many messages the consumer has not finished."""
        info = await self.stream.consumer_info(self.name, "worker")
        return (info.num_pending or 0) + (info.num_ack_pending or 0)


@pytest_asyncio.fixture(loop_scope="module")
async def bench(client: Client, producer: Context) -> Bench:
    """Make a stream."""
    number = next(_SERIAL)
    stream = client.jetstream()
    await stream.add_stream(name=f"PAYMENTS{number}", subjects=[f"payments.{number}"])
    return Bench(producer, stream, f"PAYMENTS{number}", f"payments.{number}")


@pytest.fixture
def consumer(recorder: Recorder) -> nats.Consumer:
    """Observe the notifications."""
    return nats.Consumer(recorder, "notifications")


async def test_a_pushed_message_is_handled_in_the_context_of_its_producer(
    bench: Bench, consumer: nats.Consumer, counts: Counts
) -> None:
    """The library acknowledges it as usual; data and other headers are intact."""
    seen: asyncio.Future[tuple[Context | None, Msg]] = asyncio.get_running_loop().create_future()

    async def handle(message: Msg) -> None:
        seen.set_result((correlation.active(), message))

    subscription = await bench.stream.subscribe(
        bench.subject, durable="worker", cb=consumer.callback(handle), stream=bench.name
    )
    await bench.publish(b"42", {"Nats-Msg-Id": "one"})
    async with asyncio.timeout(WITHIN_SECONDS):
        context, message = await seen
        while await bench.waiting():  # noqa: ASYNC110 - the server has no event
            await asyncio.sleep(0.01)
    await subscription.unsubscribe()
    assert context is not None
    assert (context.correlation_id, context.payment_id) == ("order-12345678", None)
    assert context.trace is not None
    assert context.trace.trace_id == "0af7651916cd43dd8448eb211c80319c"
    assert message.data == b"42"
    assert (message.headers or {})["Nats-Msg-Id"] == "one"
    assert counts() == (1, 0, 0)


async def test_hostile_headers_over_the_wire_are_harmless(
    bench: Bench, consumer: nats.Consumer, counts: Counts
) -> None:
    """With bytes that are not text the message is handled under a new id."""
    await bench.consumer()
    raw = b"NATS/1.0\r\nx-correlation-id: order-\xff\xfe99\r\ntraceparent: " + b"0" * 4000 + b"\r\n\r\n"
    client = bench.stream._nc
    sizes = b"%d %d" % (len(raw), len(raw) + 2)
    await client._send_command(b"HPUB %s %s\r\n%s{}\r\n" % (bench.subject.encode(), sizes, raw))
    await client.flush()
    (message,) = await bench.fetch()
    with consumer.handling(message):
        context = correlation.active()
    assert context is not None
    assert "order" not in context.correlation_id
    assert context.trace is None
    assert counts()[0] == 1


async def test_a_terminated_message_is_a_dead_letter_with_its_reason(
    bench: Bench, consumer: nats.Consumer, counts: Counts, dead: Dead
) -> None:
    """With the handler's reason or `rejected`; acknowledged and redelivered messages are not."""
    await bench.consumer()
    for _ in range(4):
        await bench.publish()
    first, second, third, fourth = await bench.fetch(4)
    with consumer.handling(first):
        messages.set_aside("malformed")
        await first.term()
    with consumer.handling(second):
        await second.term()
    with consumer.handling(third):
        await third.ack()
    with consumer.handling(fourth):
        await fourth.nak()
    assert dead() == {"malformed": 1, "rejected": 1}
    assert counts() == (1, 1, 2)
    (again,) = await bench.fetch()
    assert again.metadata.num_delivered == 2
    with consumer.handling(again):
        await again.ack_sync()
    assert await bench.waiting() == 0
    assert counts()[0] == 2


async def test_what_the_server_gives_up_is_counted_once_among_several_consumers(
    bench: Bench, client: Client, consumer: nats.Consumer, recorder: Recorder, counts: Counts, dead: Dead
) -> None:
    """A handler that fails each time: two failed deliveries and one dead letter, with two subscribers."""
    await bench.consumer(max_deliver=2, ack_wait=0.2)
    named = {"stream": bench.name, "consumer": "worker", "queue": "notifications"}
    told = [await nats.count_given_up(recorder, client, **named) for _ in range(2)]
    await bench.publish()
    for _ in range(2):
        (message,) = await bench.fetch()
        with pytest.raises(KeyError), consumer.handling(message):
            raise KeyError
    assert dead() == {}
    async with asyncio.timeout(WITHIN_SECONDS):
        # The server gives up when it would deliver again, and then only if somebody asks.
        while not dead():
            with pytest.raises(TimeoutError):
                await _fetch_nothing(bench)
    await client.flush()
    for subscription in told:
        await subscription.unsubscribe()
    assert dead() == {"attempts_exhausted": 1}
    assert counts() == (0, 2, 0)


async def _fetch_nothing(bench: Bench) -> None:
    subscription = await bench.stream.pull_subscribe_bind(consumer="worker", stream=bench.name)
    try:
        await subscription.fetch(1, timeout=0.1)
    finally:
        await subscription.unsubscribe()


@pytest.mark.parametrize("data", [b"", b"\xff", b"[]", b'{"type":"another"}', b"[" * 50_000])
async def test_what_is_no_advisory_counts_nothing(
    client: Client, recorder: Recorder, caplog: pytest.LogCaptureFixture, data: bytes, dead: Dead
) -> None:
    """Anybody with the account can publish on that subject."""
    told = await nats.count_given_up(recorder, client, stream="ANY", consumer="worker", queue="notifications")
    await client.publish("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.ANY.worker", data)
    await client.publish(
        "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.ANY.worker",
        b'{"type":"io.nats.jetstream.advisory.v1.max_deliver"}',
    )
    async with asyncio.timeout(WITHIN_SECONDS):
        while not dead():  # noqa: ASYNC110 - a counter has no event
            await asyncio.sleep(0.01)
    await told.unsubscribe()
    assert dead() == {"attempts_exhausted": 1}
    # The library would log what a callback raises.
    assert caplog.records == []


async def test_depth_and_age_are_those_of_what_is_not_acknowledged(
    bench: Bench, recorder: Recorder, read: Read
) -> None:
    """Delivered messages count; the age is that of the oldest; an empty queue has none."""
    await bench.consumer()
    backlog = nats.StreamBacklog(
        recorder, bench.stream, name=bench.name, consumer="worker", queue="notifications"
    )
    for _ in range(3):
        await bench.publish()
    first, *rest = await bench.fetch(3)
    written = (await bench.stream.get_msg(bench.name, seq=2)).time
    assert await backlog.measure()
    assert shown(read)[0] == 3
    await first.ack()
    await bench.stream._nc.flush()
    async with asyncio.timeout(WITHIN_SECONDS):
        while await bench.waiting() != 2:  # noqa: ASYNC110 - the server has no event
            await asyncio.sleep(0.01)
    assert await backlog.measure()
    assert written is not None
    assert shown(read) == (2, pytest.approx(written.timestamp(), abs=1e-3))
    for message in rest:
        await message.ack_sync()
    assert await backlog.measure()
    assert shown(read) == (0, None)


def shown(read: Read) -> tuple[Any, Any]:
    """Return depth and age."""
    return (
        read("moneypath_queue_depth", queue="notifications"),
        read("moneypath_queue_oldest_timestamp_seconds", queue="notifications"),
    )


async def test_a_consumer_that_is_not_there_is_measured_as_unknown(
    bench: Bench, recorder: Recorder, read: Read
) -> None:
    """The gauges are cleared, not 0, and nothing raises."""
    backlog = nats.StreamBacklog(
        recorder, bench.stream, name=bench.name, consumer="worker", queue="notifications"
    )
    assert not await backlog.measure()
    assert shown(read) == (None, None)


async def test_an_unknown_queue_is_refused_when_wired(client: Client, recorder: Recorder) -> None:
    """By the consumer, the count of given-up messages and the backlog."""
    with pytest.raises(LabelsUnknown):
        nats.Consumer(recorder, "refunds")
    with pytest.raises(LabelsUnknown):
        nats.StreamBacklog(recorder, client.jetstream(), name="S", consumer="c", queue="refunds")
    with pytest.raises(LabelsUnknown):
        await nats.count_given_up(recorder, client, stream="S", consumer="c", queue="refunds")


async def test_the_example_for_nats_runs(url: str, run_example: RunExample) -> None:
    """Two are handled, the unreadable one is a dead letter, and none is left."""
    output = await run_example("nats_consumer.py", url)
    assert output.count("told of") == 2
    for line in (
        'moneypath_message_duration_seconds_count{queue="notifications",outcome="handled"} 2',
        'moneypath_dead_letters_total{queue="notifications",reason="malformed"} 1',
        'moneypath_queue_depth{queue="notifications"} 0',
    ):
        assert f"{line}\n" in output.replace(".0\n", "\n")
