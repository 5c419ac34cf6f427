"""The ten-line declaration of the guide, and each further section that may be added to it."""

import re
from pathlib import Path
from typing import Any

import yaml

from moneypath.path.model import MoneyPath
from moneypath.path.source import parse_yaml

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "small-declaration.md"
TEN_LINES, *FURTHER = re.findall(r"```yaml\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)

_LABELLED = [{"label": "operation", "values": ["authorize"]}]
_CHECK = {"id": "no_gaps", "series": ["moneypath_duplicate_charges"]}
_LEVEL = {"kind": "level", "id": "depth", "series": "moneypath_queue_depth", "above": 10, "evidence": None}
_CAPTURED = {
    "series": "moneypath_ledger_writes_total",
    "select": [{"label": "outcome", "values": ["committed"]}],
}

# Keys of mappings are added to those of the ten lines, items of lists are appended.
SECTIONS: dict[str, dict[str, Any]] = {
    "reporting_currency": {"reporting_currency": "JPY"},
    "currencies": {"reporting_currency": "USD", "currencies": {"USD": 2, "KWD": 3}},
    "schemes": {"schemes": ["visa"]},
    "links": {"links": {"runbooks": "https://a.example/", "dashboards": "https://b.example/d/"}},
    "alerts": {"alerts": {"prefix": "Acme"}},
    "outputs": {
        "outputs": {"catalogue": "shop/catalogue.json", "alerts": "ops/alerts", "compose": "compose"}
    },
    "roles": {"roles": {"on-call": {}, "risk_desk": {"paged": False}}},
    "stages": {
        "stages": [
            {"id": "intake", "owner_role": "eng", "uses_providers": True, "leads_to": ["ledger"]},
            {"id": "ledger"},
        ]
    },
    "providers": {"providers": [{"id": "south", "schemes": ["visa"]}, {"id": "west"}]},
    "targets": {"targets": [{"job": "worker", "instances": 2}]},
    "traffic": {
        "slos": [
            {
                "kind": "availability", "id": "refund-availability", "operation": "refund",
                "objective": "0.99", "traffic": {"min_events": 5}, "hard_down": None,
            }
        ]
    },
    "whole path": {
        "slos": [
            {
                "kind": "availability", "id": "refund-availability", "operation": "refund",
                "objective": "0.99", "per": None, "traffic": {"min_events": 5},
            }
        ]
    },
    "results": {
        "slos": [
            {
                "kind": "events", "id": "approval", "series": "moneypath_authorization_results_total",
                "label": "result", "good": ["approved"], "bad": ["hard_decline"], "objective": "0.7",
                "burn": None,
            }
        ]
    },
    "checks": {"checks": [_CHECK]},
    "silence check": {
        "checks": [{"id": "silences", "series": ["moneypath_integrity_alert_silences"]}],
        "targets": [{"job": "alert-silences"}],
    },
    "level guard": {"guards": [_LEVEL]},
    "age guard": {
        "guards": [
            {
                "kind": "age", "id": "lag", "older_than_seconds": 600,
                "series": "moneypath_reconciliation_watermark_timestamp_seconds",
                "evidence": {"series": "moneypath_reconciliation_watermark_timestamp_seconds"},
            }
        ]
    },
    "deadline guard": {
        "guards": [
            {
                "kind": "deadline", "id": "report", "grace_seconds": 300, "evidence": None,
                "series": "moneypath_settlement_due_timestamp_seconds",
            }
        ]
    },
    "increase guard": {
        "guards": [
            {
                "kind": "increase", "id": "card_testing", "window_seconds": 300, "at_least": 20,
                "counter": {"series": "moneypath_risk_signals_total"},
            }
        ]
    },
    "costs": {
        "guards": [
            {
                "kind": "ratio", "id": "cost", "window_seconds": 300, "fires": "above", "limit": "5000000",
                "min_events": 30, "numerator": {"series": "moneypath_cost_micro_units_total"},
                "denominator": _CAPTURED,
            }
        ],
        "costs": {
            "provider_fees": [
                {"provider": "north", "method": "card", "basis_points": 140, "fixed": {"EUR": 10}}
            ],
            "provisioned": [{"component": "compute", "title": "One instance", "price_per_hour": "0.1"}],
            "rates": {"as_of": "2026-11-20", "source": "None", "to_reporting": {"EUR": "1"}},
        },
    },
    "watchdog": {"roles": {"ops": {}}, "watchdog": {"roles": ["ops"]}},
    "metrics": {
        "telemetry": {
            "queues": ["payouts"],
            "traffic": ["canary"],
            "cohorts": ["candidate"],
            "metrics": [
                {
                    "name": "shop_gaps", "kind": "gauge", "help": "Gaps.", "series_budget": 10,
                    "labels": {"provider": "providers"},
                }
            ],
        },
        "checks": [{"id": "gaps", "series": ["shop_gaps"]}],
    },
    "exported": {
        "telemetry": {
            "exported": ["moneypath_money_at_risk_minor_units", "moneypath_provider_routing_active"]
        }
    },
    **{f"guide {number}": yaml.safe_load(text) for number, text in enumerate(FURTHER, start=1)},
}  # fmt: skip


def text_with(*names: str) -> str:
    """Return the ten lines with these sections."""
    document: dict[str, Any] = yaml.safe_load(TEN_LINES)
    for name in names:
        for key, value in SECTIONS[name].items():
            if isinstance(value, list):
                document[key] = [*document.get(key, []), *value]
            elif isinstance(value, dict):
                document[key] = {**document.get(key, {}), **value}
            else:
                document[key] = value
    text: str = yaml.safe_dump(document, sort_keys=False)
    return text


def without_providers() -> str:
    """Return the ten lines of a service that calls no provider."""
    document = yaml.safe_load(TEN_LINES)
    del document["providers"]
    text: str = yaml.safe_dump(document, sort_keys=False)
    return text


def parsed(text: str) -> MoneyPath:
    """Return the money path of a text."""
    return parse_yaml(text, MoneyPath, file="moneypath.yaml")
