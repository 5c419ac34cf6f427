"""Configure the JetStream streams and consumers. No other module knows their configuration."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext, api
from nats.js.errors import BadRequestError

EVENTS: Final = "EVENTS"
DEAD: Final = "DEAD"
# Longer than any restart of a worker: a message published twice within it is stored once.
DUPLICATE_WINDOW_SECONDS: Final = 600.0
ANSWER_SECONDS: Final = 2.0
FETCH_SECONDS: Final = 0.25
BATCH: Final = 64
_MEBIBYTE: Final = 1024 * 1024
_NAME_IN_USE: Final = 10058
_DEAD_LETTERS_MAXIMUM: Final = 20_000


class Queue(StrEnum):
    """The consumers of events. Each receives every event, at its own pace."""

    NOTIFICATIONS = "notifications"
    COMPLIANCE_LOG = "compliance_log"

    @property
    def replay_subject(self) -> str:
        """Return the subject for replayed dead letters."""
        return f"replay.{self}"


_STREAMS: Final = (
    api.StreamConfig(
        name=EVENTS,
        subjects=["events.>", "replay.*"],
        storage=api.StorageType.FILE,
        retention=api.RetentionPolicy.INTEREST,
        # When the stream is full, publishing fails and the outbox grows, which alerts. Old messages are never
        # dropped.
        discard=api.DiscardPolicy.NEW,
        max_bytes=256 * _MEBIBYTE,
        # A dead letter has more headers than its message and has to fit too.
        max_msg_size=32 * 1024,
        duplicate_window=DUPLICATE_WINDOW_SECONDS,
    ),
    api.StreamConfig(
        name=DEAD,
        subjects=["dead.>"],
        storage=api.StorageType.FILE,
        retention=api.RetentionPolicy.LIMITS,
        discard=api.DiscardPolicy.NEW,
        # The subject ends in the message's identity, so a message has at most one letter.
        discard_new_per_subject=True,
        max_msgs_per_subject=1,
        max_msgs=_DEAD_LETTERS_MAXIMUM,
        max_bytes=256 * _MEBIBYTE,
        duplicate_window=DUPLICATE_WINDOW_SECONDS,
    ),
)


@dataclass(frozen=True, slots=True)
class Session:
    """A connection whose streams and consumers exist."""

    stream: JetStreamContext
    subscriptions: Mapping[Queue, JetStreamContext.PullSubscription]

    async def fetch(self, queue: Queue) -> list[Msg]:
        """Return the next messages of a queue, or none if none arrive within FETCH_SECONDS."""
        with suppress(TimeoutError):
            return await self.subscriptions[queue].fetch(BATCH, timeout=FETCH_SECONDS)
        return []


async def open_session(client: Client, *, ack_wait_seconds: float, in_flight: int) -> Session:
    """Create missing streams and consumers, then subscribe.

    Consumers are created before anything can be published: JetStream keeps an event only while a consumer
    needs it.
    """
    stream = client.jetstream(timeout=ANSWER_SECONDS)
    for config in _STREAMS:
        try:
            await stream.add_stream(config)
        except BadRequestError as problem:
            if problem.err_code != _NAME_IN_USE:
                raise
            await stream.update_stream(config)
    subscriptions = {}
    for queue in Queue:
        await stream.add_consumer(
            EVENTS,
            api.ConsumerConfig(
                name=queue,
                durable_name=queue,
                # Every event, and the replays for this queue.
                filter_subjects=["events.>", queue.replay_subject],
                ack_policy=api.AckPolicy.EXPLICIT,
                ack_wait=ack_wait_seconds,
                # The consumer limits the attempts and makes a dead letter; the server would stop delivering
                # silently.
                max_deliver=-1,
                max_ack_pending=in_flight,
            ),
        )
        subscriptions[queue] = await stream.pull_subscribe_bind(consumer=queue, stream=EVENTS)
    return Session(stream, subscriptions)


MESSAGING_ERRORS: Final = (nats.errors.Error, OSError, TimeoutError)
