"""How much waits, since when, and what was set aside; what is not known is absent."""

from datetime import datetime
from typing import Final

from nats.js.errors import NotFoundError

from moneypath.telemetry import Recorder
from refpay.clock import Clock
from refpay.db.errors import DatabaseUnavailable
from refpay.db.pool import Database
from refpay.outbox import dead_letters, replay_repository, repository
from refpay.outbox.dead_letters import Reason
from refpay.outbox.link import Link
from refpay.outbox.repository import Backlog
from refpay.outbox.streams import EVENTS, MESSAGING_ERRORS, Queue, Session

OUTBOX: Final = "outbox"


class QueueGauges:
    """The one exporter of the queues' series."""

    def __init__(self, recorder: Recorder) -> None:
        self._depth = recorder.gauge("moneypath_queue_depth")
        self._oldest = recorder.gauge("moneypath_queue_oldest_timestamp_seconds")
        self._dead = recorder.gauge("moneypath_dead_letter_depth")
        self._dead_total = recorder.counter("moneypath_dead_letters_total")

    def count_dead(self, queue: Queue, reason: Reason) -> None:
        """Count a message that was set aside."""
        self._dead_total.inc(queue=queue.value, reason=reason.value)

    def show(self, queue: str, backlog: Backlog | None) -> None:
        """Show what waits in a queue; None: nobody knows."""
        if backlog is None:
            self._depth.clear(queue=queue)
        else:
            self._depth.set(backlog.depth, queue=queue)
        if backlog is None or backlog.oldest is None:
            self._oldest.clear(queue=queue)
        else:
            self._oldest.set(backlog.oldest.timestamp(), queue=queue)

    def show_dead(self, depths: dict[tuple[str, str], int] | None) -> None:
        """Show what is set aside, 0 included; None: nobody knows."""
        for queue in Queue:
            for reason in Reason:
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
            backlogs = {queue: await _read_backlog(session, queue) for queue in Queue}
            found = await dead_letters.look(session)
        except MESSAGING_ERRORS:
            for queue in Queue:
                self._gauges.show(queue, None)
            self._gauges.show_dead(None)
            return
        depths = {
            (queue.value, reason.value): found.depths.get((queue, reason), 0)
            for queue in Queue
            for reason in Reason
        }
        for queue, backlog in backlogs.items():
            self._gauges.show(queue, backlog)
        self._gauges.show_dead(depths)
        async with self._database.transaction() as connection:
            await replay_repository.show_depths(connection, depths, self._clock.now())


async def _read_backlog(session: Session, queue: Queue) -> Backlog:
    info = await session.stream.consumer_info(EVENTS, queue)
    depth = (info.num_pending or 0) + (info.num_ack_pending or 0)
    if depth == 0:
        return Backlog(0, None)
    first = 1 + (info.ack_floor.stream_seq if info.ack_floor is not None else 0)
    times = [await _time_of_first(session, subject, first) for subject in queue.subjects]
    return Backlog(depth, min((time for time in times if time is not None), default=None))


async def _time_of_first(session: Session, subject: str, sequence: int) -> datetime | None:
    try:
        message = await session.stream.get_msg(EVENTS, seq=sequence, subject=subject, next=True)
    except NotFoundError:
        return None
    return message.time
