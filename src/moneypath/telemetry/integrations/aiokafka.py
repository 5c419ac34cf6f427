"""Kafka with aiokafka: what is produced carries its context, what is consumed is observed."""

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
    """Return the headers of a record to produce, the active context among them, each of its names once."""
    kept, context = messages.outgoing(headers)
    return kept + [(name, text.encode()) for name, text in context.items()]


class Consumer:
    """Observe what handles the records of one topic.

    Kafka knows no dead letters: a handler that publishes a record elsewhere or skips it for good says so with
    `messages.set_aside`. Raises what `messages.Consumer` raises.
    """

    def __init__(self, recorder: Recorder, queue: str) -> None:
        self._consumer = messages.Consumer(recorder, queue, system="kafka")

    @contextmanager
    def handling(self, record: ConsumerRecord) -> Iterator[Handling]:
        """Handle a record in the context of its producer."""
        with self._consumer.handling(record.headers) as handling:
            yield handling

    def callback(self, handle: Callback) -> Callback:
        """Return a function that handles each record in the context of its producer."""

        async def observed(record: ConsumerRecord) -> None:
            with self.handling(record):
                await handle(record)

        return observed


class TopicBacklog:
    """Measure how far a consumer group is behind on a topic: ends less committed offsets, all partitions.

    Any member of the group measures the whole topic. Offsets without a record, which compaction and aborted
    transactions leave, count too; the age of the oldest record would take a fetch and is not shown. Raises
    LabelsUnknown for a queue of no catalogue.
    """

    def __init__(self, recorder: Recorder, consumer: AIOKafkaConsumer, *, topic: str, queue: str) -> None:
        self._gauges = BacklogGauges(recorder, queue)
        self._consumer = consumer
        self._topic = topic

    async def measure(self) -> bool:
        """Show the depth; False if Kafka does not say it in time, and then nothing is shown."""
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
            # What was deleted before the group came to it waits no more.
            depth += max(0, ends[partition] - max(begins[partition], committed or 0))
        return Backlog(depth)
