"""Generate the committed files of Grafana."""

from typing import Final

from moneypath.dashboards import provisioning
from moneypath.dashboards.board import money_path_board
from moneypath.dashboards.model import Board
from moneypath.dashboards.render import dashboard_json
from moneypath.path.model import MoneyPath

# In the folder of dashboards that the declaration names.
PROVIDERS_FILE: Final = "provisioning/dashboards/moneypath.yaml"
DATA_SOURCES_FILE: Final = "provisioning/datasources/prometheus.yaml"


def boards(path: MoneyPath) -> tuple[Board, ...]:
    """Return every board that is generated for `path`."""
    return (money_path_board(path),)


def board_ids(path: MoneyPath) -> tuple[str, ...]:
    """Return the ids of the generated boards, which are what `dashboard` may be in the declaration."""
    return tuple(board.uid for board in boards(path))


def board_file(board: Board) -> str:
    """Return the name of a board's file in the folder of dashboards."""
    return f"{board.uid}.json"


def generate(path: MoneyPath) -> dict[str, str]:
    """Return the files to commit, by their path in the project."""
    files = {
        **{board_file(board): dashboard_json(board) for board in boards(path)},
        PROVIDERS_FILE: provisioning.providers_yaml(),
        DATA_SOURCES_FILE: provisioning.data_sources_yaml(),
    }
    return {f"{path.outputs.dashboards}/{name}": text for name, text in files.items()}
