"""The files of Grafana that are generated and committed."""

from typing import Final

from moneypath.dashboards import provisioning
from moneypath.dashboards.board import UID, money_path_board
from moneypath.dashboards.render import dashboard_json
from moneypath.path.model import MoneyPath

BOARD_FILE: Final = f"dashboards/{UID}.json"
PROVIDERS_FILE: Final = "dashboards/provisioning/dashboards/moneypath.yaml"
DATA_SOURCES_FILE: Final = "dashboards/provisioning/datasources/prometheus.yaml"


def generate(path: MoneyPath) -> dict[str, str]:
    """Return the files to commit, by their path in the repository."""
    return {
        BOARD_FILE: dashboard_json(money_path_board(path)),
        PROVIDERS_FILE: provisioning.providers_yaml(),
        DATA_SOURCES_FILE: provisioning.data_sources_yaml(),
    }
