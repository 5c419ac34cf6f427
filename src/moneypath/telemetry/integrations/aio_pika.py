"""RabbitMQ with aio-pika: propagates the context in published messages and observes consumers."""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from aio_pika import IncomingMessage
from aio_pika.abc import AbstractConnection, AbstractIncomingMessage

from moneypath.telemetry.catalogue.vocabulary import DeadLetterReason
from moneypath.telemetry.integrations import messages
from moneypath.telemetry.integrations.messages import Backlog, BacklogGauges, Handling
from moneypath.telemetry.recording.recorder import Recorder

__all__ = ["Consumer", "QueueBacklog", "outgoing_headers"]

Callback = Callable[[AbstractIncomingMessage], Awaitable[Any]]

# How often a quorum queue has requeued the message; absent in the first delivery.
_DELIVERY_COUNT: Final = "x-delivery-count"


def outgoing_headers(headers: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the headers for a message to publish, with those of the active context."""
    kept, context = messages.outgoing((headers or {}).items())
    return {**dict(kept), **context}


class _ObservedMessage(IncomingMessage):
    """A message that reports how it was settled. The library has no hook for that."""

    # Empty, so that the class of an existing message can be changed to this one.
    __slots__ = ()

    async def reject(self, requeue: bool = False) -> None:
        await super().reject(requeue)
        _note(requeue=requeue)

    async def nack(self, multiple: bool = False, requeue: bool = True) -> None:
        await super().nack(multiple, requeue)
        _note(requeue=requeue)


def _note(*, requeue: bool) -> None:
    handling = messages.current_handling()
    if handling is None:
        return
    if not requeue:
        handling.set_aside(DeadLetterReason.REJECTED)
    elif handling.is_last:
        handling.set_aside(DeadLetterReason.ATTEMPTS_EXHAUSTED)
    else:
        handling.fail()


def _read_count(message: AbstractIncomingMessage) -> int:
    count = message.headers.get(_DELIVERY_COUNT)
    return count if isinstance(count, int) else 0


class Consumer:
    """Observes the handling of messages from one queue, in a callback or an iterator.

    A message that is rejected and not requeued is a dead letter, whether or not a dead-letter exchange
    takes it. Its reason is the one given to `messages.set_aside`, else `rejected`. `delivery_limit` is the
    `x-delivery-limit` of a quorum queue, which limits how often a message is requeued. Raises what
    `messages.Consumer` raises.
    """

    def __init__(self, recorder: Recorder, queue: str, *, delivery_limit: int | None = None) -> None:
        self._consumer = messages.Consumer(recorder, queue, system="rabbitmq")
        self._delivery_limit = delivery_limit

    @contextmanager
    def handling(self, message: AbstractIncomingMessage) -> Iterator[Handling]:
        """Observe the handling of a message in its producer's context. Use `message.process()` inside."""
        if type(message) is IncomingMessage:
            message.__class__ = _ObservedMessage
        with self._consumer.handling(message.headers) as handling:
            if self._delivery_limit is not None:
                handling.is_last = _read_count(message) >= self._delivery_limit
            yield handling

    def callback(self, handle: Callback) -> Callback:
        """Return a callback for `Queue.consume` that handles each message in its producer's context."""

        async def observed(message: AbstractIncomingMessage) -> None:
            with self.handling(message):
                await handle(message)

        return observed


class QueueBacklog:
    """Measures how many messages are ready in the broker's queue `name`.

    RabbitMQ reports neither the messages that are delivered and not yet acknowledged (the prefetch limits
    them) nor the age of the oldest message. Raises LabelsUnknown for a queue that is not in the catalogue.
    """

    def __init__(self, recorder: Recorder, connection: AbstractConnection, *, name: str, queue: str) -> None:
        self._gauges = BacklogGauges(recorder, queue)
        self._connection = connection
        self._name = name

    async def measure(self) -> bool:
        """Set the gauges. Return False and clear them if RabbitMQ does not answer in time."""
        return await self._gauges.measure(self._read)

    async def _read(self) -> Backlog:
        # The broker closes a channel that asks for a missing queue, so this channel is not shared.
        async with self._connection.channel() as channel:
            found = await channel.declare_queue(self._name, passive=True)
            return Backlog(found.declaration_result.message_count or 0)
