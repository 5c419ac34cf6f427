"""Messages: how many wait, for how long, and how many are dead letters."""

from moneypath.alerting.rules import LiteralKind
from moneypath.dashboards.model import Panel, PanelKind, Query, Row
from moneypath.dashboards.thresholds import Thresholds, at_most, zero

BACKLOG = "MoneyPathQueueBacklog"


def messages(thresholds: Thresholds) -> Row:
    """Return the row on messages."""
    written = "min by (queue) (moneypath_queue_oldest_timestamp_seconds)"
    return Row(
        "Messages",
        (
            Panel(
                "Waiting messages",
                PanelKind.TIMESERIES,
                "Messages that wait, those handed out and not yet acknowledged included. The outbox growing "
                "means that the broker does not take them; another queue growing means that its consumer is "
                "slow or stuck.",
                (Query("max by (queue) (moneypath_queue_depth)", "{{queue}}"),),
                width=8,
                height=7,
                decimals=0,
                min_value=0,
                steps=at_most(thresholds.fires_at(BACKLOG, LiteralKind.COUNT)),
                alerts=(BACKLOG,),
            ),
            Panel(
                "Oldest waiting message",
                PanelKind.TIMESERIES,
                "A deep queue that moves is busy; a shallow one that grows old is stuck. Customers wait "
                "this long for what they are told.",
                (Query(f"time() - {written}", "{{queue}}", empty_when="no message waits"),),
                width=8,
                height=7,
                unit="s",
                min_value=0,
                steps=at_most(thresholds.fires_at(BACKLOG, LiteralKind.AGE)),
                alerts=(BACKLOG,),
            ),
            Panel(
                "Dead letters by reason",
                PanelKind.TIMESERIES,
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
                min_value=0,
                steps=zero(),
                alerts=("MoneyPathDeadLetters",),
            ),
        ),
    )
