"""NATS JetStream with nats-py: propagates the context in published messages and observes consumers."""

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from moneypath.telemetry.catalogue.vocabulary import DeadLetterReason
from moneypath.telemetry.integrations import messages
from moneypath.telemetry.integrations.messages import Backlog, BacklogGauges, Handling
from moneypath.telemetry.recording.recorder import Recorder

__all__ = ["Consumer", "StreamBacklog", "count_given_up", "outgoing_headers", "read_backlog"]

Callback = Callable[[Msg], Awaitable[None]]

_GIVEN_UP: Final = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES"
# The queue group: the server sends each report to one subscriber, so that each message counts once.
_COUNTERS: Final = "moneypath-dead-letters"


def outgoing_headers(headers: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the headers for a message to publish, with those of the active context."""
    kept, context = messages.outgoing((headers or {}).items())
    return {**dict(kept), **context}


class _ObservedMessage(Msg):
    """A message that reports how it was acknowledged. The library has no hook for that."""

    async def term(self) -> None:
        await super().term()
        handling = messages.current_handling()
        if handling is not None:
            handling.set_aside(DeadLetterReason.REJECTED)

    async def nak(self, delay: float | None = None) -> None:
        await super().nak(delay)
        handling = messages.current_handling()
        if handling is not None:
            handling.fail()


class Consumer:
    """Observes the handling of messages of one consumer of a stream, pushed or fetched.

    A message that is terminated is a dead letter. Its reason is the one given to `messages.set_aside`, else
    `rejected`. Only `count_given_up` sees messages that JetStream gives up because nobody acknowledged
    them. Raises what `messages.Consumer` raises.
    """

    def __init__(self, recorder: Recorder, queue: str) -> None:
        self._consumer = messages.Consumer(recorder, queue, system="nats")

    @contextmanager
    def handling(self, message: Msg) -> Iterator[Handling]:
        """Observe the handling of a message in its producer's context."""
        if type(message) is Msg:
            message.__class__ = _ObservedMessage
        with self._consumer.handling(message.headers) as handling:
            yield handling

    def callback(self, handle: Callback) -> Callback:
        """Return a callback for `subscribe` that handles each message in its producer's context."""

        async def observed(message: Msg) -> None:
            with self.handling(message):
                await handle(message)

        return observed


async def count_given_up(
    recorder: Recorder, client: Client, *, stream: str, consumer: str, queue: str
) -> Subscription:
    """Count the messages that reached the consumer's `max_deliver`, as the server reports them.

    Only the server sees the case of a process that died in the last delivery. One of all subscribed
    processes gets each report; without a subscriber nothing is counted. Raises LabelsUnknown for the queue.
    """
    given_up = recorder.counter(messages.DEAD_LETTERS).bind(
        queue=queue, reason=DeadLetterReason.ATTEMPTS_EXHAUSTED.value
    )

    async def count(message: Msg) -> None:
        if _is_advisory(message.data):
            given_up.inc()

    return await client.subscribe(f"{_GIVEN_UP}.{stream}.{consumer}", queue=_COUNTERS, cb=count)


def _is_advisory(data: bytes) -> bool:
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return False
    return isinstance(content, dict) and content.get("type") == "io.nats.jetstream.advisory.v1.max_deliver"


class StreamBacklog:
    """Measures the backlog of one consumer of a stream. Raises LabelsUnknown for an undeclared queue."""

    def __init__(
        self, recorder: Recorder, stream: JetStreamContext, *, name: str, consumer: str, queue: str
    ) -> None:
        self._gauges = BacklogGauges(recorder, queue)
        self._stream = stream
        self._name = name
        self._consumer = consumer

    async def measure(self) -> bool:
        """Set depth and age. Return False and clear both if NATS does not answer in time."""
        return await self._gauges.measure(lambda: read_backlog(self._stream, self._name, self._consumer))


async def read_backlog(stream: JetStreamContext, name: str, consumer: str) -> Backlog:
    """Return the backlog of a consumer of the stream `name`, including messages not yet acknowledged.

    Raises what NATS raises.
    """
    info = await stream.consumer_info(name, consumer)
    depth = (info.num_pending or 0) + (info.num_ack_pending or 0)
    if depth == 0:
        return Backlog(0)
    first = 1 + (info.ack_floor.stream_seq if info.ack_floor is not None else 0)
    subjects = info.config.filter_subjects or [info.config.filter_subject or ">"]
    times = [await _time_of_first(stream, name, subject, first) for subject in subjects]
    return Backlog(depth, min((time for time in times if time is not None), default=None))


async def _time_of_first(stream: JetStreamContext, name: str, subject: str, sequence: int) -> float | None:
    try:
        message = await stream.get_msg(name, seq=sequence, subject=subject, next=True)
    except NotFoundError:
        return None
    return None if message.time is None else message.time.timestamp()
