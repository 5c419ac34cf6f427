"""The board *Money path*: its rows in the order in which they are read at night."""

from moneypath.dashboards.limits import Limits
from moneypath.dashboards.model import Board, Query, Variable
from moneypath.dashboards.rows.authorizations import authorizations
from moneypath.dashboards.rows.costs import costs
from moneypath.dashboards.rows.glance import glance
from moneypath.dashboards.rows.messages import messages
from moneypath.dashboards.rows.money import money
from moneypath.dashboards.rows.reconciliation import reconciliation
from moneypath.dashboards.rows.watch import FIRING, watch
from moneypath.path.model import MoneyPath

UID = "money-path"


def money_path_board(path: MoneyPath) -> Board:
    """Return the board for the money path that is declared."""
    limits = Limits.of(path)
    rows = (glance, money, authorizations, reconciliation, messages, costs, watch)
    return Board(
        uid=UID,
        title="Money path",
        description=f"{path.name}: is every unit of money accounted for, and does it move as promised?",
        variables=(
            Variable(
                "provider",
                "Provider",
                "moneypath_provider_routing_active",
                "provider",
                path.provider_ids(),
            ),
            Variable(
                "currency",
                "Currency",
                "moneypath_money_at_risk_minor_units",
                "currency",
                tuple(path.currencies),
            ),
        ),
        marks=Query(FIRING, "{{alertname}}", quiet="no alert fires"),
        rows=tuple(row(limits) for row in rows),
        runbooks=limits.runbooks(),
    )
