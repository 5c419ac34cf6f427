"""The duty of the outbox: relay, consumers, replay, gauges, over one link that may be down for hours.

No loop here fails because NATS is away: readiness is about payments, and those go on without it. How far
the messages are behind is said by the queues' depth and age.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

from moneypath.telemetry import Recorder
from moneypath.telemetry.integrations.messages import Consumer as ObservedConsumer
from refpay.clock import Clock
from refpay.db.pool import Database
from refpay.errors import StartRefused
from refpay.loops import Loop
from refpay.measures import Measures
from refpay.outbox.consuming import Consumer
from refpay.outbox.effects import EFFECTS
from refpay.outbox.link import Link, Patient, open_link
from refpay.outbox.measuring import Measuring, QueueGauges
from refpay.outbox.relay import Pruner, Relay
from refpay.outbox.replaying import Replayer
from refpay.outbox.streams import Queue
from refpay.settings import MessagingSettings, Settings

# A consumer waits inside its fetch, for messages; this is only to look for a connection.
_CONSUME_INTERVAL_SECONDS: Final = 0.02
_REPLAY_INTERVAL_SECONDS: Final = 0.25
_PRUNE_INTERVAL_SECONDS: Final = 1.0


@asynccontextmanager
async def open_messages(
    settings: Settings, database: Database, measures: Measures, clock: Clock
) -> AsyncIterator[Sequence[Loop]]:
    """Yield the loops; raises StartRefused if nobody said where NATS is."""
    messaging = settings.messaging
    if messaging is None:
        raise StartRefused(
            "REFPAY_NATS_URL is not set: the worker publishes the outbox, as in nats://127.0.0.1:4222"
        )
    gauges = QueueGauges(measures.recorder)
    async with open_link(messaging) as link:
        measuring = Measuring(database, link, gauges, clock=clock)
        interval = settings.check_interval_seconds
        yield (
            *_movers(messaging, link, database, clock),
            *(_consume(queue, messaging, link, database, measures.recorder, clock) for queue in Queue),
            Loop("measure_outbox", measuring.measure_outbox, interval_seconds=interval, clock=clock),
            Loop("measure_queues", measuring.measure_queues, interval_seconds=interval, clock=clock),
        )


def _movers(
    messaging: MessagingSettings, link: Link, database: Database, clock: Clock
) -> tuple[Loop, Loop, Loop]:
    relay = Patient("relay", link, Relay(database, clock=clock).run_once)
    replay = Patient("replay", link, Replayer(database, clock=clock).run_once)
    keep = timedelta(seconds=messaging.outbox_retention_seconds)
    prune = Pruner(database, clock=clock, keep=keep).run_once
    return (
        Loop("relay", relay, interval_seconds=messaging.relay_interval_seconds, clock=clock),
        Loop("replay", replay, interval_seconds=_REPLAY_INTERVAL_SECONDS, clock=clock),
        Loop("prune", prune, interval_seconds=_PRUNE_INTERVAL_SECONDS, clock=clock),
    )


def _consume(
    queue: Queue,
    messaging: MessagingSettings,
    link: Link,
    database: Database,
    recorder: Recorder,
    clock: Clock,
) -> Loop:
    consumer = Consumer(
        queue,
        EFFECTS[queue],
        database=database,
        settings=messaging,
        clock=clock,
        observed=ObservedConsumer(recorder, queue.value, system="nats"),
    )
    action = Patient(queue.value, link, consumer.run_once)
    return Loop(queue.value, action, interval_seconds=_CONSUME_INTERVAL_SECONDS, clock=clock)
