"""The background jobs of the outbox: relay, consumers, replays and gauges, over one NATS connection.

NATS may be away for hours without failing any of these jobs: readiness is about payments, and payments work
without NATS. How far the messages are behind shows in the depth and age of the queues.
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
from refpay.background_jobs import BackgroundJob
from refpay.clock import Clock
from refpay.db.pool import Database
from refpay.errors import StartRefused
from refpay.measures import ServiceMetrics
from refpay.outbox import dead_letters, replay_requests, repository
from refpay.outbox.broker_watch import BrokerWatch
from refpay.outbox.consuming import EFFECTS, Consumer
from refpay.outbox.dead_letters import carry_out_replays
from refpay.outbox.nats_connection import MessagingAction, NatsConnection
from refpay.outbox.relay import prune, relay
from refpay.outbox.streams import EVENTS, MESSAGING_ERRORS, Queue, Session
from refpay.runtime import running
from refpay.settings import Settings

OUTBOX: Final = "outbox"
# A consumer waits for messages inside its fetch; this is only the pause before it looks for a connection
# again.
_CONSUME_INTERVAL_SECONDS: Final = 0.02
_REPLAY_INTERVAL_SECONDS: Final = 0.25
_PRUNE_INTERVAL_SECONDS: Final = 1.0


class QueueGauges:
    """Exports the depth and age of the outbox and of the queues in NATS.

    Nothing else exports these series.
    """

    def __init__(
        self, database: Database, nats_connection: NatsConnection, recorder: Recorder, *, clock: Clock
    ) -> None:
        self._database, self._nats_connection, self._clock = database, nats_connection, clock
        self._backlogs = {queue: BacklogGauges(recorder, queue) for queue in (OUTBOX, *Queue)}
        self._dead = recorder.gauge("moneypath_dead_letter_depth")

    async def measure_outbox(self) -> None:
        """Export the outbox. Raises DatabaseUnavailable, and then the gauges are absent."""
        backlog = None
        try:
            async with self._database.transaction() as connection:
                backlog = await repository.read_backlog(connection)
        finally:
            self._backlogs[OUTBOX].show(backlog)

    async def measure_queues(self) -> None:
        """Export the queues and dead letters.

        While NATS does not answer, the gauges are absent and nothing is raised.
        """
        session = self._nats_connection.session
        try:
            if session is None:
                raise ConnectionError("no connection")
            backlogs = {queue: await read_backlog(session.stream, EVENTS, queue) for queue in Queue}
            _, found = await dead_letters.count_letters(session)
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
async def open_outbox_jobs(
    settings: Settings, database: Database, measures: ServiceMetrics, clock: Clock
) -> AsyncIterator[Sequence[BackgroundJob]]:
    """Yield the background jobs; raises StartRefused if the URL of NATS is not set."""
    messaging = settings.messaging
    if messaging is None:
        raise StartRefused(
            "REFPAY_NATS_URL is not set: the worker needs it to publish the outbox, as in nats://127.0.0.1:4222."
        )
    nats_connection = NatsConnection(messaging)
    async with running(nats_connection.run()):
        gauges = QueueGauges(database, nats_connection, measures.recorder, clock=clock)
        interval = settings.check_interval_seconds

        def job(name: str, action: Callable[[], Awaitable[object]], seconds: float) -> BackgroundJob:
            return BackgroundJob(name, action, interval_seconds=seconds, clock=clock)

        def messaging_job(
            name: str, action: Callable[[Session], Awaitable[object]], seconds: float
        ) -> BackgroundJob:
            return job(name, MessagingAction(name, nats_connection, action), seconds)

        def consume(queue: Queue) -> BackgroundJob:
            consumer = Consumer(
                queue,
                EFFECTS[queue],
                database=database,
                settings=messaging,
                clock=clock,
                observed=ObservedConsumer(measures.recorder, queue.value, system="nats"),
            )
            return messaging_job(queue.value, consumer.run_once, _CONSUME_INTERVAL_SECONDS)

        publishing = MessagingAction("relay", nats_connection, partial(relay, database, clock))
        watch = BrokerWatch(messaging.monitoring_url, nats_connection, publishing, measures.recorder)
        keep = timedelta(seconds=messaging.outbox_retention_seconds)
        yield (
            job("relay", publishing, messaging.relay_interval_seconds),
            BackgroundJob(
                "broker", watch.measure, interval_seconds=interval, clock=clock, trouble=watch.trouble
            ),
            messaging_job("replay", partial(carry_out_replays, database, clock), _REPLAY_INTERVAL_SECONDS),
            *(consume(queue) for queue in Queue),
            job("prune", partial(prune, database, clock, keep), _PRUNE_INTERVAL_SECONDS),
            job("measure_outbox", gauges.measure_outbox, interval),
            job("measure_queues", gauges.measure_queues, interval),
        )
