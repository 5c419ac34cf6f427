"""What compose.yaml needs besides itself and its secrets: its Alertmanager's routes."""

from typing import Final

from moneypath.alerting import routing
from moneypath.alerting.timing import Scale
from moneypath.path.model import MoneyPath

ROUTES_FILE: Final = "alertmanager.yml"
PAGER_URL: Final = "http://pager:8084"
ENVIRONMENT: Final = "compose"


def container_files(path: MoneyPath) -> dict[str, str]:
    """Return the files to commit: Alertmanager's routes to the pager of compose.yaml, if there is one."""
    if path.outputs.compose is None:
        return {}
    routes = routing.configuration(
        path,
        Scale(1),
        pager_url=PAGER_URL,
        credentials_file="secrets/pager_token",
        environment=ENVIRONMENT,
    )
    return {f"{path.outputs.compose}/{ROUTES_FILE}": routes}
