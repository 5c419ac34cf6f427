"""aiokafka without a broker: records in the client's own encoding, types and signatures."""

from collections.abc import Awaitable, Callable
from typing import Any
from unittest.mock import create_autospec

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from aiokafka.structs import ConsumerRecord, TopicPartition

from moneypath.telemetry import LabelsUnknown, Recorder, correlation
from moneypath.telemetry.correlation import Context
from moneypath.telemetry.integrations import aiokafka, messages

Read = Callable[..., float | None]
Counts = Callable[[], tuple[float | None, float | None, float | None]]
Dead = Callable[[], dict[str, float]]
RunExample = Callable[..., Awaitable[str]]
Headers = list[tuple[str, bytes]]


def over_the_wire(headers: list[tuple[str, Any]]) -> ConsumerRecord:
    """Return the record that a consumer gets, after the client's encoding and decoding."""
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=4 * 1024 * 1024,
    )
    assert builder.append(0, 0, b"key", b"{}", headers) is not None
    (record,) = DefaultRecordBatch(bytes(builder.build()))
    return ConsumerRecord(
        topic="payments",
        partition=0,
        offset=record.offset,
        timestamp=record.timestamp,
        timestamp_type=0,
        key=record.key,
        value=record.value,
        checksum=None,
        serialized_key_size=3,
        serialized_value_size=2,
        headers=tuple(record.headers),
    )


def produced(producer: Context, headers: Headers) -> Headers:
    """Return the headers of a record that is produced in the context of a request."""
    with correlation.entered(producer):
        return aiokafka.outgoing_headers(headers)


@pytest.fixture
def consumer(recorder: Recorder) -> aiokafka.Consumer:
    """Observe the notifications."""
    return aiokafka.Consumer(recorder, "notifications")


async def test_a_record_is_handled_in_the_context_of_its_producer(
    consumer: aiokafka.Consumer, counts: Counts, producer: Context
) -> None:
    """Ids and trace are in the client's encoding; other headers stay, and there is no payment id."""
    record = over_the_wire(produced(producer, [("kind", b"refund"), ("Traceparent", b"stale")]))
    assert [name for name, _ in record.headers] == ["kind", "x-correlation-id", "traceparent"]
    assert b"pay-1" not in b"".join(value for _, value in record.headers)
    seen = []

    async def handle(given: ConsumerRecord) -> None:
        assert given is record
        seen.append(correlation.active())

    await consumer.callback(handle)(record)
    (context,) = seen
    assert context is not None
    assert context.trace is not None
    assert (context.correlation_id, context.payment_id) == ("order-12345678", None)
    assert context.trace.trace_id == "0af7651916cd43dd8448eb211c80319c"
    assert counts() == (1, 0, 0)


async def test_a_record_set_aside_is_a_dead_letter_and_a_failed_one_is_none(
    consumer: aiokafka.Consumer, read: Read, counts: Counts
) -> None:
    """Kafka has neither, so the handler reports them; an exception passes on."""

    async def skip(_record: ConsumerRecord) -> None:
        messages.set_aside("malformed")

    async def fail(_record: ConsumerRecord) -> None:
        raise KeyError

    await consumer.callback(skip)(over_the_wire([]))
    with pytest.raises(KeyError):
        await consumer.callback(fail)(over_the_wire([]))
    assert counts() == (0, 1, 1)
    assert read("moneypath_dead_letters_total", queue="notifications", reason="malformed") == 1


@pytest.mark.parametrize(
    "headers",
    [
        [("x-correlation-id", b"\xff\xfe"), ("traceparent", None)],
        [("x-correlation-id", b"o" * 1_000_000)],
        [("x-correlation-id", b"order-12345678"), ("x-correlation-id", b"order-12345679")],
        [("x-correlation-id", b"order-12345678\r\nx-evil: 1")],
    ],
)
def test_hostile_headers_of_a_record_are_harmless(
    consumer: aiokafka.Consumer, headers: list[tuple[str, Any]]
) -> None:
    """Not text, missing, too long, repeated, with a line break: a new id is used."""
    with consumer.handling(over_the_wire(headers)):
        current = correlation.current()
    assert current is not None
    assert "order" not in current


def make_client(
    ends: dict[int, int], committed: dict[int, int | None], begins: dict[int, int] | None = None
) -> Any:
    """Return a fake consumer that answers as the real one does, by partition."""
    client = create_autospec(AIOKafkaConsumer, instance=True)
    client.partitions_for_topic.return_value = set(ends) or None

    def by_partition(offsets: dict[int, int]) -> Callable[[list[TopicPartition]], Any]:
        return lambda partitions: {partition: offsets.get(partition.partition, 0) for partition in partitions}

    client.end_offsets.side_effect = by_partition(ends)
    client.beginning_offsets.side_effect = by_partition(begins or {})
    client.committed.side_effect = lambda partition: committed.get(partition.partition)
    return client


@pytest.mark.parametrize(
    ("ends", "committed", "begins", "depth"),
    [
        ({0: 10, 1: 5}, {0: 7, 1: 5}, {}, 3),
        # Nothing committed yet: all that is still kept waits.
        ({0: 10}, {0: None}, {0: 4}, 6),
        # The retention deleted what the group had not read.
        ({0: 10}, {0: 2}, {0: 8}, 2),
        # The topic was made again, with fewer records than were committed.
        ({0: 1}, {0: 9}, {}, 0),
    ],
)
async def test_depth_is_how_far_the_group_is_behind(
    recorder: Recorder, read: Read, ends: Any, committed: Any, begins: Any, depth: int
) -> None:
    """Over all partitions of the topic; the age is not shown."""
    client = make_client(ends, committed, begins)
    backlog = aiokafka.TopicBacklog(recorder, client, topic="payments", queue="notifications")
    assert await backlog.measure()
    assert read("moneypath_queue_depth", queue="notifications") == depth
    assert read("moneypath_queue_oldest_timestamp_seconds", queue="notifications") is None


@pytest.mark.parametrize("partitions", [None, set()])
async def test_a_topic_that_nobody_knows_is_measured_as_unknown(
    recorder: Recorder, read: Read, partitions: set[int] | None
) -> None:
    """The gauge is cleared, not 0, and nothing raises."""
    client = make_client({0: 10}, {0: 7})
    backlog = aiokafka.TopicBacklog(recorder, client, topic="payments", queue="notifications")
    assert await backlog.measure()
    client.partitions_for_topic.return_value = partitions
    assert not await backlog.measure()
    assert read("moneypath_queue_depth", queue="notifications") is None


def test_an_unknown_queue_is_refused_for_kafka(recorder: Recorder) -> None:
    """By the consumer and by the backlog."""
    with pytest.raises(LabelsUnknown):
        aiokafka.Consumer(recorder, "refunds")
    with pytest.raises(LabelsUnknown):
        aiokafka.TopicBacklog(recorder, make_client({}, {}), topic="payments", queue="refunds")


async def test_the_example_for_kafka_runs(run_example: RunExample) -> None:
    """Without a broker, on records as the client gives them."""
    output = await run_example("kafka_consumer.py")
    assert output.count("told of") == 1
    for line in (
        'moneypath_message_duration_seconds_count{queue="notifications",outcome="handled"} 1',
        'moneypath_dead_letters_total{queue="notifications",reason="malformed"} 1',
    ):
        assert f"{line}\n" in output.replace(".0\n", "\n")
