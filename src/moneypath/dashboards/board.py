"""The board *Money path*: its rows in the order in which an engineer on call reads them."""

from moneypath.dashboards.model import Board, Query, Variable
from moneypath.dashboards.rows.authorizations import authorizations
from moneypath.dashboards.rows.costs import costs
from moneypath.dashboards.rows.messages import messages
from moneypath.dashboards.rows.money import money
from moneypath.dashboards.rows.monitoring import FIRING, monitoring
from moneypath.dashboards.rows.objectives import objectives
from moneypath.dashboards.rows.overview import overview
from moneypath.dashboards.rows.reconciliation import reconciliation
from moneypath.dashboards.thresholds import Thresholds
from moneypath.path.model import MoneyPath

UID = "money-path"


def money_path_board(path: MoneyPath) -> Board:
    """Return the board of a declared money path."""
    thresholds = Thresholds.of(path)
    sections = (overview, money, authorizations, reconciliation, messages, costs, objectives, monitoring)
    rows = (section(thresholds) for section in sections)
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
        annotation=Query(FIRING, "{{alertname}}", empty_when="no alert fires"),
        rows=tuple(row for row in rows if row.panels),
        runbooks=thresholds.runbooks(),
    )
