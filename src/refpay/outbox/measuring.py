"""How much waits, since when, and what was set aside; what is not known is absent."""

from typing import Final

from moneypath.telemetry import Recorder
from moneypath.telemetry.catalogue.vocabulary import DeadLetterReason
from moneypath.telemetry.integrations.messages import Backlog, BacklogGauges
from moneypath.telemetry.integrations.nats import read_backlog
from refpay.clock import Clock
from refpay.db.errors import DatabaseUnavailable
from refpay.db.pool import Database
from refpay.outbox import dead_letters, replay_requests, repository
from refpay.outbox.link import Link
from refpay.outbox.streams import EVENTS, MESSAGING_ERRORS, Queue

OUTBOX: Final = "outbox"


class QueueGauges:
    """The one exporter of the queues' series."""

    def __init__(self, recorder: Recorder) -> None:
        self._backlogs = {queue: BacklogGauges(recorder, queue) for queue in (OUTBOX, *Queue)}
        self._dead = recorder.gauge("moneypath_dead_letter_depth")

    def show(self, queue: str, backlog: Backlog | None) -> None:
        """Show what waits in a queue; None: nobody knows."""
        self._backlogs[queue].show(backlog)

    def show_dead(self, depths: dict[tuple[str, str], int] | None) -> None:
        """Show what is set aside, 0 included; None: nobody knows."""
        for queue in Queue:
            for reason in DeadLetterReason:
                if depths is None:
                    self._dead.clear(queue=queue.value, reason=reason.value)
                else:
                    self._dead.set(depths[queue, reason], queue=queue.value, reason=reason.value)


class Measuring:
    """Reads the outbox from the database, which is ours, and the queues from NATS, which may be away."""

    def __init__(self, database: Database, link: Link, gauges: QueueGauges, *, clock: Clock) -> None:
        self._database = database
        self._link = link
        self._gauges = gauges
        self._clock = clock

    async def measure_outbox(self) -> None:
        """Show the outbox; raises DatabaseUnavailable, and then nothing is shown."""
        try:
            async with self._database.transaction() as connection:
                backlog = await repository.read_backlog(connection)
        except DatabaseUnavailable:
            self._gauges.show(OUTBOX, None)
            raise
        self._gauges.show(OUTBOX, backlog)

    async def measure_queues(self) -> None:
        """Show the queues and the dead letters, or hide them while NATS does not say; never fails for it."""
        session = self._link.session
        try:
            if session is None:
                raise ConnectionError("no connection")
            backlogs = {queue: await read_backlog(session.stream, EVENTS, queue) for queue in Queue}
            found = await dead_letters.look(session)
        except MESSAGING_ERRORS:
            for queue in Queue:
                self._gauges.show(queue, None)
            self._gauges.show_dead(None)
            return
        depths = {
            (queue.value, reason.value): found.depths.get((queue, reason), 0)
            for queue in Queue
            for reason in DeadLetterReason
        }
        for queue, backlog in backlogs.items():
            self._gauges.show(queue, backlog)
        self._gauges.show_dead(depths)
        async with self._database.transaction() as connection:
            await replay_requests.show_depths(connection, depths, self._clock.now())
