"""Kafka with aiokafka: propagates the context in produced records and observes consumers."""

from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import ConsumerRecord, TopicPartition

from moneypath.telemetry.integrations import messages
from moneypath.telemetry.integrations.messages import Backlog, BacklogGauges, Handling
from moneypath.telemetry.recording.recorder import Recorder

__all__ = ["Consumer", "TopicBacklog", "outgoing_headers"]

Callback = Callable[[ConsumerRecord], Awaitable[None]]


def outgoing_headers(headers: Iterable[tuple[str, bytes]] = ()) -> list[tuple[str, bytes]]:
    """Return the headers for a record to produce, with those of the active context.

    Each of those names occurs once.
    """
    kept, context = messages.outgoing(headers)
    return kept + [(name, text.encode()) for name, text in context.items()]


class Consumer:
    """Observes the handling of records from one topic.

    Kafka has no dead letters: a handler that publishes a record elsewhere or skips it for good must call
    `messages.set_aside`. Raises what `messages.Consumer` raises.
    """

    def __init__(self, recorder: Recorder, queue: str) -> None:
        self._consumer = messages.Consumer(recorder, queue, system="kafka")

    @contextmanager
    def handling(self, record: ConsumerRecord) -> Iterator[Handling]:
        """Observe the handling of a record in its producer's context."""
        with self._consumer.handling(record.headers) as handling:
            yield handling

    def callback(self, handle: Callback) -> Callback:
        """Return a function that handles each record in its producer's context."""

        async def observed(record: ConsumerRecord) -> None:
            with self.handling(record):
                await handle(record)

        return observed


class TopicBacklog:
    """Measures the lag of a consumer group on a topic.

    It sums end offsets less committed offsets over all partitions. Any member of the group measures the
    whole topic. Offsets without a record, which compaction and aborted transactions leave, count too. The
    age of the oldest record is not shown, because it would take a fetch. Raises LabelsUnknown for a queue
    that is not in the catalogue.
    """

    def __init__(self, recorder: Recorder, consumer: AIOKafkaConsumer, *, topic: str, queue: str) -> None:
        self._gauges = BacklogGauges(recorder, queue)
        self._consumer = consumer
        self._topic = topic

    async def measure(self) -> bool:
        """Set the gauge. Return False and clear it if Kafka does not answer in time."""
        return await self._gauges.measure(self._read)

    async def _read(self) -> Backlog:
        numbers = self._consumer.partitions_for_topic(self._topic)
        if not numbers:
            raise LookupError(f"topic {self._topic}: no partition is known")
        partitions = [TopicPartition(self._topic, number) for number in sorted(numbers)]
        begins: dict[TopicPartition, int] = await self._consumer.beginning_offsets(partitions)
        ends: dict[TopicPartition, int] = await self._consumer.end_offsets(partitions)
        depth = 0
        for partition in partitions:
            committed: Any = await self._consumer.committed(partition)
            # Records that were deleted before the group read them do not wait any more.
            depth += max(0, ends[partition] - max(begins[partition], committed or 0))
        return Backlog(depth)
