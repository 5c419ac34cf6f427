"""The files with which Grafana finds the board and its data source at start-up."""

from typing import Any, Final

import yaml

# Production scrapes this often; Grafana's own default of 15 s would widen every rate for nothing.
SCRAPE_INTERVAL_SECONDS: Final = 5
HEADER: Final = "# Generated from moneypath.yaml by `moneypath generate`; edit that file, not this one.\n"
BOARDS_FOLDER: Final = "/etc/moneypath/dashboards"


def providers_yaml() -> str:
    """Return the provider of boards: one folder, read only."""
    return _dump(
        {
            "apiVersion": 1,
            "providers": [
                {
                    "name": "moneypath",
                    "folder": "Money path",
                    "type": "file",
                    "disableDeletion": True,
                    "allowUiUpdates": False,
                    "updateIntervalSeconds": 30,
                    "options": {"path": BOARDS_FOLDER, "foldersFromFilesStructure": False},
                }
            ],
        }
    )


def data_sources_yaml() -> str:
    """Return the data source; its address comes from the environment."""
    return _dump(
        {
            "apiVersion": 1,
            "datasources": [
                {
                    "name": "Prometheus",
                    "uid": "moneypath-prometheus",
                    "type": "prometheus",
                    "access": "proxy",
                    "url": "${MONEYPATH_PROMETHEUS_URL}",
                    "isDefault": True,
                    "editable": False,
                    "jsonData": {
                        "httpMethod": "POST",
                        "prometheusType": "Prometheus",
                        "timeInterval": f"{SCRAPE_INTERVAL_SECONDS}s",
                        "incrementalQuerying": False,
                    },
                }
            ],
        }
    )


def _dump(document: dict[str, Any]) -> str:
    return HEADER + yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
