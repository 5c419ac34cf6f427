"""Messages: how many wait, for how long, how many are dead letters, and whether the broker takes them."""

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
            Panel(
                "Broker takes no messages",
                PanelKind.TIMESERIES,
                "1 while the broker takes no messages, by cause. The outbox holds them and payments go on. "
                "After a full disk it stays closed until it is started again. No line: it is away.",
                (Query("max by (cause) (moneypath_broker_writes_refused)", "{{cause}}"),),
                width=12,
                height=7,
                decimals=0,
                min_value=0,
                steps=zero(),
                alerts=("MoneyPathBrokerWritesRefused",),
            ),
            Panel(
                "How full the disks are",
                PanelKind.TIMESERIES,
                "Bytes or inodes, whichever is scarcer. Of a disk over 50 GiB only the last 50 GiB count, so "
                "that 90 % means 5 GiB free there. A full disk stops payments (database, receipts) or "
                "messages.",
                (Query("max by (disk) (moneypath_disk_fill_ratio)", "{{disk}}"),),
                width=12,
                height=7,
                unit="percentunit",
                min_value=0,
                steps=at_most(thresholds.fires_at("MoneyPathDiskFilling", LiteralKind.COUNT)),
                alerts=("MoneyPathDiskFilling",),
            ),
        ),
    )
