"""Every example of a web framework or HTTP client runs as it is and prints the documented metrics."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[4] / "examples"


def http(route: str, method: str, status: int, count: float) -> str:
    """Return a line of the request count."""
    labels = f'http_request_method="{method}",http_route="{route}",http_response_status_code="{status}"'
    return f"http_server_request_duration_seconds_count{{{labels}}} {count}"


def paid(outcome: str) -> str:
    """Return the line of one payment."""
    labels = f'operation="authorize",outcome="{outcome}",provider="north",traffic="live",cohort="control"'
    return f"moneypath_payments_total{{{labels}}} 1"


def attempt(outcome: str) -> str:
    """Return the line of one attempt."""
    labels = f'provider="north",operation="authorize",outcome="{outcome}"'
    return f"moneypath_provider_attempts_total{{{labels}}} 1"


PAYMENTS = [paid("succeeded"), paid("declined")]
ATTEMPTS = [attempt(outcome) for outcome in ("succeeded", "declined", "failed", "indeterminate")]


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("fastapi_service", [*PAYMENTS, http("/payments/{reference}", "POST", 200, 2)]),
        (
            "starlette_service",
            ["'asked_as': 'support-case-77'", http("/v1/payments/{payment}", "GET", 200, 1)],
        ),
        ("wsgi_service", [http("/payments/{payment}", "GET", 200, 2), http("other", "GET", 200, 1)]),
        ("flask_service", [*PAYMENTS, http("/payments/{reference}", "POST", 200, 2)]),
        ("django_service", [*PAYMENTS, http("/payments/{reference}", "POST", 200, 2)]),
        ("httpx_client", ["/silence: ReadTimeout", *ATTEMPTS]),
        ("requests_client", ["/hang-up: ConnectionError", *ATTEMPTS]),
    ],
)
def test_example_runs(name: str, lines: list[str]) -> None:
    """It ends by itself, without a Python warning."""
    run = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / f"{name}.py")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    for line in lines:
        assert line in run.stdout
