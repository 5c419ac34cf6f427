"""The board *Money path*: its rows in the order in which an engineer on call reads them."""

from moneypath.dashboards.exported_only import rows_of_exported, variables_of
from moneypath.dashboards.model import Board, Query
from moneypath.dashboards.rows.authorizations import authorizations
from moneypath.dashboards.rows.costs import costs
from moneypath.dashboards.rows.messages import messages
from moneypath.dashboards.rows.money import money
from moneypath.dashboards.rows.monitoring import firing, monitoring
from moneypath.dashboards.rows.objectives import objectives
from moneypath.dashboards.rows.overview import overview
from moneypath.dashboards.rows.reconciliation import reconciliation
from moneypath.dashboards.thresholds import Thresholds
from moneypath.path.model import MoneyPath
from moneypath.path.parts import DEFAULT_DASHBOARD

UID = DEFAULT_DASHBOARD
VARIABLES = (("provider", "Provider"), ("currency", "Currency"))


def money_path_board(path: MoneyPath) -> Board:
    """Return the board of a declared money path."""
    thresholds = Thresholds.of(path)
    sections = (overview, money, authorizations, reconciliation, messages, costs, objectives, monitoring)
    names = [name for name, _ in VARIABLES]
    rows = rows_of_exported(thresholds, (section(thresholds) for section in sections), names)
    return Board(
        uid=UID,
        title="Money path",
        description=f"{path.name}: is every unit of money accounted for, and does it move as promised?",
        variables=tuple(variables_of(path, rows, VARIABLES)),
        annotation=Query(firing(path), "{{alertname}}", empty_when="no alert fires"),
        rows=rows,
        runbooks=thresholds.runbooks(),
    )
