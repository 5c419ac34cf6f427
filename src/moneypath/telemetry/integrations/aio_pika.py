"""RabbitMQ with aio-pika: what is published carries its context, what is consumed is observed."""

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

# How often a quorum queue has taken the message back; a first delivery has none.
_DELIVERY_COUNT: Final = "x-delivery-count"


def outgoing_headers(headers: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the headers of a message to publish, the active context among them."""
    kept, context = messages.outgoing((headers or {}).items())
    return {**dict(kept), **context}


class _Watched(IncomingMessage):
    """A message that notes its verdict, for which the library has no hook."""

    # None of its own, so that a message can become one.
    __slots__ = ()

    async def reject(self, requeue: bool = False) -> None:
        await super().reject(requeue)
        _note(requeue=requeue)

    async def nack(self, multiple: bool = False, requeue: bool = True) -> None:
        await super().nack(multiple, requeue)
        _note(requeue=requeue)


def _note(*, requeue: bool) -> None:
    handling = messages.at_hand()
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
    """Observe what handles the messages of one queue, in a callback or from an iterator.

    A message that is rejected and does not go back is a dead letter, whether or not an exchange takes it: for
    the reason that `messages.set_aside` gave, else `rejected`. `delivery_limit` is the `x-delivery-limit` of
    a quorum queue, which takes a message back so often and no more. Raises what `messages.Consumer` raises.
    """

    def __init__(self, recorder: Recorder, queue: str, *, delivery_limit: int | None = None) -> None:
        self._consumer = messages.Consumer(recorder, queue, system="rabbitmq")
        self._delivery_limit = delivery_limit

    @contextmanager
    def handling(self, message: AbstractIncomingMessage) -> Iterator[Handling]:
        """Handle a message in the context of its producer; `message.process()` goes inside."""
        if type(message) is IncomingMessage:
            message.__class__ = _Watched
        with self._consumer.handling(message.headers) as handling:
            if self._delivery_limit is not None:
                handling.is_last = _read_count(message) >= self._delivery_limit
            yield handling

    def callback(self, handle: Callback) -> Callback:
        """Return a callback for `Queue.consume` that handles each message in the context of its producer."""

        async def observed(message: AbstractIncomingMessage) -> None:
            with self.handling(message):
                await handle(message)

        return observed


class QueueBacklog:
    """Measure what is ready in one queue of the broker, `name`.

    RabbitMQ says neither what is delivered and not yet acknowledged (bound it by the prefetch) nor the age of
    the oldest message. Raises LabelsUnknown for a queue of no catalogue.
    """

    def __init__(self, recorder: Recorder, connection: AbstractConnection, *, name: str, queue: str) -> None:
        self._gauges = BacklogGauges(recorder, queue)
        self._connection = connection
        self._name = name

    async def measure(self) -> bool:
        """Show the depth; False if RabbitMQ does not say it in time, and then nothing is shown."""
        return await self._gauges.measure(self._read)

    async def _read(self) -> Backlog:
        # The broker closes the channel that asks for a queue which is not there, so no other may use it.
        async with self._connection.channel() as channel:
            found = await channel.declare_queue(self._name, passive=True)
            return Backlog(found.declaration_result.message_count or 0)
