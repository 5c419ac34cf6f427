"""Messages: what waits, for how long, and what was set aside."""

from moneypath.alerting.leaf import Mark
from moneypath.dashboards.limits import Limits, at_most, zero
from moneypath.dashboards.model import Kind, Panel, Query, Row

BACKLOG = "MoneyPathQueueBacklog"


def messages(limits: Limits) -> Row:
    """Return the row on messages."""
    written = "min by (queue) (moneypath_queue_oldest_timestamp_seconds)"
    return Row(
        "Messages",
        (
            Panel(
                "Waiting messages",
                Kind.TIMESERIES,
                "Messages that wait, those handed out and not yet acknowledged included. The outbox growing "
                "means that the broker does not take them; another queue growing means that its consumer is "
                "slow or stuck.",
                (Query("max by (queue) (moneypath_queue_depth)", "{{queue}}"),),
                width=8,
                height=7,
                decimals=0,
                least=0,
                steps=at_most(limits.fires_at(BACKLOG, Mark.COUNT)),
                watches=(BACKLOG,),
            ),
            Panel(
                "Oldest waiting message",
                Kind.TIMESERIES,
                "A deep queue that moves is busy; a shallow one that grows old is stuck. Customers wait "
                "this long for what they are told.",
                (Query(f"time() - {written}", "{{queue}}", quiet="no message waits"),),
                width=8,
                height=7,
                unit="s",
                least=0,
                steps=at_most(limits.fires_at(BACKLOG, Mark.AGE)),
                watches=(BACKLOG,),
            ),
            Panel(
                "Dead letters by reason",
                Kind.TIMESERIES,
                "Messages set aside and not yet replayed. Mend the cause first, then replay the queue: a "
                "message is handled once however often it is replayed.",
                (
                    Query(
                        "sum by (reason) (max by (queue, reason) (moneypath_dead_letter_depth))",
                        "{{reason}}",
                    ),
                ),
                width=8,
                height=7,
                decimals=0,
                least=0,
                steps=zero(),
                watches=("MoneyPathDeadLetters",),
            ),
        ),
    )
