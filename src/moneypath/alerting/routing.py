"""The Alertmanager configuration: one page to each role of an alert, and the heartbeat.

Only its delivery proves that a page arrives. `amtool config routes test` shows the chosen receiver. It
does not know whether the receiver answers, and it ignores time intervals.
"""

from moneypath.alerting.conventions import watchdog_name
from moneypath.alerting.render import Document, dump
from moneypath.alerting.rules import duration_text
from moneypath.alerting.timing import Scale
from moneypath.path.model import MoneyPath

WATCHDOG_RECEIVER = "watchdog"
ELSEWHERE_RECEIVER = "another-environment"
"""It has no integration: its alerts are seen at Alertmanager, and page nobody."""
# Placeholders of the committed configuration; a deployment puts its own in their place.
PRODUCTION_PAGER_URL = "https://pager.moneypath.example"
PRODUCTION_CREDENTIALS_FILE = "secrets/pager_token"


def receiver(role: str) -> str:
    """Return the name of the receiver of `role`."""
    return f"role-{role}"


def configuration(
    path: MoneyPath,
    scale: Scale,
    *,
    pager_url: str,
    credentials_file: str,
    environment: str | None = None,
) -> str:
    """Return the Alertmanager configuration as YAML, valid from Alertmanager 0.25 on.

    Alerts of another environment than `environment`, or else than the declared one, page nobody, their
    watchdog included: it would hide that ours has stopped. One that names no environment is ours.

    `credentials_file` holds the bearer token of the pager; the token itself is never written here.
    """
    timing = scale.timing
    roles = path.paged_roles()
    pager = pager_url.rstrip("/")
    ours = environment or path.alerts.environment
    return dump(
        {
            "route": {
                # An alert that names no known role must not vanish: the first role gets it.
                "receiver": receiver(roles[0]),
                "group_by": ["alertname", "provider"],
                "group_wait": duration_text(timing.group_wait_seconds),
                "group_interval": duration_text(timing.group_interval_seconds),
                "repeat_interval": duration_text(timing.repeat_interval_seconds),
                "routes": [
                    *(_elsewhere(ours) if ours else ()),
                    {
                        "matchers": [f'alertname="{watchdog_name(path)}"'],
                        "receiver": WATCHDOG_RECEIVER,
                        "repeat_interval": duration_text(timing.heartbeat_seconds),
                    },
                    *(_route(role) for role in roles),
                ],
            },
            "receivers": [
                *([{"name": ELSEWHERE_RECEIVER}] if ours else ()),
                _receiver(WATCHDOG_RECEIVER, f"{pager}/heartbeats", credentials_file),
                *(_receiver(receiver(role), f"{pager}/pages/{role}", credentials_file) for role in roles),
            ],
        }
    )


def _elsewhere(ours: str) -> tuple[Document]:
    matchers = [f'environment!="{ours}"', 'environment!=""']
    return ({"matchers": matchers, "receiver": ELSEWHERE_RECEIVER},)


def _route(role: str) -> Document:
    return {
        "matchers": [f'roles=~".*\\\\|{role}\\\\|.*"'],
        "receiver": receiver(role),
        "continue": True,
    }


def _receiver(name: str, url: str, credentials_file: str) -> Document:
    return {
        "name": name,
        "webhook_configs": [
            {
                "url": url,
                "send_resolved": True,
                "http_config": {
                    "authorization": {"type": "Bearer", "credentials_file": credentials_file},
                    "follow_redirects": False,
                },
            }
        ],
    }
