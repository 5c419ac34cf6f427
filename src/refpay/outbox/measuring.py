"""How much waits, since when, and what was set aside; what is not known is absent."""

from typing import Final

from moneypath.telemetry import Recorder
from moneypath.telemetry.catalogue.vocabulary import DeadLetterReason
from moneypath.telemetry.integrations.messages import BacklogGauges
from moneypath.telemetry.integrations.nats import read_backlog
from refpay.clock import Clock
from refpay.db.pool import Database
from refpay.outbox import dead_letters, replay_requests, repository
from refpay.outbox.link import Link
from refpay.outbox.streams import EVENTS, MESSAGING_ERRORS, Queue

OUTBOX: Final = "outbox"


class Measuring:
    """Shows the outbox, which is in our database, and the queues of NATS, which may be away.

    The one exporter of the queues' series.
    """

    def __init__(self, database: Database, link: Link, recorder: Recorder, *, clock: Clock) -> None:
        self._database = database
        self._link = link
        self._clock = clock
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
