"""Messages: how many wait, for how long, how many are dead letters, and whether the broker takes them."""

from moneypath.alerting.rules import LiteralKind
from moneypath.dashboards.model import Panel, PanelKind, Query, Row
from moneypath.dashboards.thresholds import Thresholds, at_most, zero

DEPTH = "moneypath_queue_depth"
OLDEST = "moneypath_queue_oldest_timestamp_seconds"
DEAD = "moneypath_dead_letter_depth"
REFUSED = "moneypath_broker_writes_refused"
DISKS = "moneypath_disk_fill_ratio"


def messages(thresholds: Thresholds) -> Row:
    """Return the row on messages."""
    written = f"min by (queue) ({OLDEST})"
    return Row(
        "Messages",
        (
            Panel(
                "Waiting messages",
                PanelKind.TIMESERIES,
                "Messages that wait, those handed out and not yet acknowledged included. The outbox growing "
                "means that the broker does not take them; another queue growing means that its consumer is "
                "slow or stuck.",
                (Query(f"max by (queue) ({DEPTH})", "{{queue}}"),),
                width=8,
                height=7,
                decimals=0,
                min_value=0,
                steps=at_most(thresholds.fires_at(DEPTH, LiteralKind.COUNT)),
                alerts=thresholds.alerts_on(DEPTH),
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
                steps=at_most(thresholds.fires_at(OLDEST, LiteralKind.AGE)),
                alerts=thresholds.alerts_on(OLDEST),
            ),
            Panel(
                "Dead letters by reason",
                PanelKind.TIMESERIES,
                "Messages set aside and not yet replayed. Mend the cause first, then replay the queue: a "
                "message is handled once however often it is replayed.",
                (
                    Query(
                        f"sum by (reason) (max by (queue, reason) ({DEAD}))",
                        "{{reason}}",
                    ),
                ),
                width=8,
                height=7,
                decimals=0,
                min_value=0,
                steps=zero(),
                alerts=thresholds.alerts_on(DEAD),
            ),
            Panel(
                "Broker takes no messages",
                PanelKind.TIMESERIES,
                "1 while the broker takes no messages, by cause. The outbox holds them and payments go on. "
                "After a full disk it stays closed until it is started again. No line: it is away.",
                (Query(f"max by (cause) ({REFUSED})", "{{cause}}"),),
                width=12,
                height=7,
                decimals=0,
                min_value=0,
                steps=zero(),
                alerts=thresholds.alerts_on(REFUSED),
            ),
            Panel(
                "How full the disks are",
                PanelKind.TIMESERIES,
                "Bytes or inodes, whichever is scarcer. Of a disk over 50 GiB only the last 50 GiB count, so "
                "that 90 % means 5 GiB free there. A full disk stops payments (database, receipts) or "
                "messages.",
                (Query(f"max by (disk) ({DISKS})", "{{disk}}"),),
                width=12,
                height=7,
                unit="percentunit",
                min_value=0,
                steps=at_most(thresholds.fires_at(DISKS, LiteralKind.COUNT)),
                alerts=thresholds.alerts_on(DISKS),
            ),
        ),
    )
