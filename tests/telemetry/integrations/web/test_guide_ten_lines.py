"""The guide makes a service observable with at most ten lines; both of its listings run as they are."""

import difflib
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families

from .conftest import Provider, serving

GUIDE = Path(__file__).parents[4] / "docs" / "guides" / "ten-lines.md"
TEXT = GUIDE.read_text(encoding="utf-8")
PLAIN, OBSERVED, CLASSIFY = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
LINKS = sorted(set(re.findall(r"\]\(([^)#:]+)\)", TEXT)))
LIMIT = 10


def test_at_most_ten_lines_are_added() -> None:
    """Blank lines count; lines that are only indented do not."""
    difference = list(difflib.unified_diff(PLAIN.splitlines(), OBSERVED.splitlines(), lineterm="", n=0))[2:]
    added = [line[1:] for line in difference if line.startswith("+")]
    removed = [line[1:] for line in difference if line.startswith("-")]
    assert 1 <= len(added) <= LIMIT
    assert all(line.strip() in {each.strip() for each in added} for line in removed)


def service(code: str, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    """Run a listing and return its application."""
    monkeypatch.setenv("NORTH_URL", provider.url)
    module: dict[str, Any] = {"__name__": "checkout"}
    exec(compile(code, str(GUIDE), "exec"), module)  # noqa: S102 - that is the point
    app = module["app"]
    assert isinstance(app, FastAPI)
    return app


async def pay(url: str) -> list[int]:
    """Pay three times: the provider approves, declines, and closes the connection."""
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        return [
            (await client.post("/payments", params={"amount": amount})).status_code
            for amount in (4200, 42_000, 13)
        ]


async def test_plain_service_works_and_shows_nothing(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service without telemetry works as well."""
    async with serving(service(PLAIN, provider, monkeypatch)) as url:
        assert await pay(url) == [200, 200, 500]
        async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
            assert (await client.get("/metrics")).status_code == 404


async def test_observed_service_shows_what_became_of_each_payment(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Latency, outcomes, attempts and requests are there; the unanswered payment is indeterminate."""
    async with serving(service(OBSERVED, provider, monkeypatch)) as url:
        assert await pay(url) == [200, 200, 500]
        async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
            scrape = (await client.get("/metrics")).text
    values = {
        (
            sample.name,
            *(sample.labels.get(name, "") for name in ("outcome", "http_response_status_code")),
        ): sample.value
        for family in text_string_to_metric_families(scrape)
        for sample in family.samples
        if sample.value and sample.labels.get("le", "+Inf") == "+Inf"
    }
    for outcome in ("succeeded", "declined", "indeterminate"):
        assert values["moneypath_payments_total", outcome, ""] == 1
        assert values["moneypath_payment_duration_seconds_bucket", outcome, ""] == 1
    # Without `classify`, a decline is a call that went well.
    assert values["moneypath_provider_attempts_total", "succeeded", ""] == 2
    assert values["moneypath_provider_attempts_total", "indeterminate", ""] == 1
    assert values["http_server_request_duration_seconds_count", "", "200"] == 2
    assert values["http_server_request_duration_seconds_count", "", "500"] == 1
    assert "moneypath_telemetry_drops_total" not in {name for name, *_ in values}
    assert all(headers["x-correlation-id"] for headers in provider.received)


@pytest.mark.parametrize("target", LINKS)
def test_link_of_the_guide_leads_somewhere(target: str) -> None:
    """Every example that it names exists."""
    assert (GUIDE.parent / target).exists()
