"""The duty of the outbox: relay, consumers, replay, gauges, over one link that may be down for hours.

No loop here fails because NATS is away: readiness is about payments, and those go on without it. How far
the messages are behind is said by the queues' depth and age.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Final

from moneypath.telemetry.integrations.messages import Consumer as ObservedConsumer
from refpay.clock import Clock
from refpay.db.pool import Database
from refpay.errors import StartRefused
from refpay.loops import Loop
from refpay.measures import Measures
from refpay.outbox.consuming import Consumer
from refpay.outbox.dead_letters import carry_out_replays
from refpay.outbox.effects import EFFECTS
from refpay.outbox.link import Link, Patient
from refpay.outbox.measuring import Measuring
from refpay.outbox.relay import prune, relay
from refpay.outbox.streams import Queue, Session
from refpay.runtime import running
from refpay.settings import Settings

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
    link = Link(messaging)
    async with running(link.run()):
        measuring = Measuring(database, link, measures.recorder, clock=clock)
        interval = settings.check_interval_seconds

        def loop(name: str, action: Callable[[], Awaitable[object]], seconds: float) -> Loop:
            return Loop(name, action, interval_seconds=seconds, clock=clock)

        def patient(name: str, action: Callable[[Session], Awaitable[object]], seconds: float) -> Loop:
            return loop(name, Patient(name, link, action), seconds)

        def consume(queue: Queue) -> Loop:
            consumer = Consumer(
                queue,
                EFFECTS[queue],
                database=database,
                settings=messaging,
                clock=clock,
                observed=ObservedConsumer(measures.recorder, queue.value, system="nats"),
            )
            return patient(queue.value, consumer.run_once, _CONSUME_INTERVAL_SECONDS)

        keep = timedelta(seconds=messaging.outbox_retention_seconds)
        yield (
            patient("relay", partial(relay, database, clock), messaging.relay_interval_seconds),
            patient("replay", partial(carry_out_replays, database, clock), _REPLAY_INTERVAL_SECONDS),
            *(consume(queue) for queue in Queue),
            loop("prune", partial(prune, database, clock, keep), _PRUNE_INTERVAL_SECONDS),
            loop("measure_outbox", measuring.measure_outbox, interval),
            loop("measure_queues", measuring.measure_queues, interval),
        )
