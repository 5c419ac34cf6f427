"""The duty of the outbox: relay, consumers, replay, gauges, over one link that may be down for hours.

No loop here fails because NATS is away: readiness is about payments, and those go on without it. How far
the messages are behind is said by the queues' depth and age.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Final

from moneypath.telemetry import Recorder
from moneypath.telemetry.catalogue.vocabulary import DeadLetterReason
from moneypath.telemetry.integrations.messages import BacklogGauges
from moneypath.telemetry.integrations.messages import Consumer as ObservedConsumer
from moneypath.telemetry.integrations.nats import read_backlog
from refpay.clock import Clock
from refpay.db.pool import Database
from refpay.errors import StartRefused
from refpay.loops import Loop
from refpay.measures import Measures
from refpay.outbox import dead_letters, replay_requests, repository
from refpay.outbox.consuming import EFFECTS, Consumer
from refpay.outbox.dead_letters import carry_out_replays
from refpay.outbox.link import Link, Patient
from refpay.outbox.relay import prune, relay
from refpay.outbox.streams import EVENTS, MESSAGING_ERRORS, Queue, Session
from refpay.runtime import running
from refpay.settings import Settings

OUTBOX: Final = "outbox"
# A consumer waits inside its fetch, for messages; this is only to look for a connection.
_CONSUME_INTERVAL_SECONDS: Final = 0.02
_REPLAY_INTERVAL_SECONDS: Final = 0.25
_PRUNE_INTERVAL_SECONDS: Final = 1.0


class Measuring:
    """Shows the outbox, which is in our database, and the queues of NATS, which may be away.

    The one exporter of the queues' series.
    """

    def __init__(self, database: Database, link: Link, recorder: Recorder, *, clock: Clock) -> None:
        self._database, self._link, self._clock = database, link, clock
        self._backlogs = {queue: BacklogGauges(recorder, queue) for queue in (OUTBOX, *Queue)}
        self._dead = recorder.gauge("moneypath_dead_letter_depth")

    async def measure_outbox(self) -> None:
        """Show the outbox; raises DatabaseUnavailable, and then nothing is shown."""
        backlog = None
        try:
            async with self._database.transaction() as connection:
                backlog = await repository.read_backlog(connection)
        finally:
            self._backlogs[OUTBOX].show(backlog)

    async def measure_queues(self) -> None:
        """Show the queues and the dead letters, or hide them while NATS does not say; never fails for it."""
        session = self._link.session
        try:
            if session is None:
                raise ConnectionError("no connection")
            backlogs = {queue: await read_backlog(session.stream, EVENTS, queue) for queue in Queue}
            _, found = await dead_letters.look(session)
        except MESSAGING_ERRORS:
            for queue in Queue:
                self._backlogs[queue].show(None)
                for reason in DeadLetterReason:
                    self._dead.clear(queue=queue.value, reason=reason.value)
            return
        for queue, backlog in backlogs.items():
            self._backlogs[queue].show(backlog)
        kinds = ((queue.value, reason.value) for queue in Queue for reason in DeadLetterReason)
        depths = {kind: found.get(kind, 0) for kind in kinds}
        for (name, reason_name), depth in depths.items():
            self._dead.set(depth, queue=name, reason=reason_name)
        async with self._database.transaction() as connection:
            await replay_requests.show_depths(connection, depths, self._clock.now())


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
