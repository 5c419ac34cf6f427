"""Check where to look: Prometheus, Alertmanager with the environment's label, and the pages."""

import math
from collections.abc import AsyncIterator
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from moneypath.errors import MoneypathError
from moneypath.polling import poll_until
from moneypath.prometheus import Prometheus
from moneypath.target.calls import Call, HttpRequest, Server
from moneypath.target.conformance.finding import Contract, ContractFinding
from moneypath.target.conformance.finishing import told
from moneypath.target.exchange import Exchange

LOOK: Final = Contract.LOOK
ENVIRONMENT: Final = "environment"
# Prometheus sends an alert again once a minute, and one that it could not send is lost.
SENT_WITHIN_SECONDS: Final = 75.0
POLL_SECONDS: Final = 1.0
WATCHDOG: Final = 'ALERTS{alertname=~".*Watchdog",alertstate="firing"}'


class _PagedAlert(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)
    name: str
    labels: dict[str, str]


class _Alert(BaseModel):
    model_config = ConfigDict(frozen=True)
    labels: dict[str, str]


_ALERTS: Final = TypeAdapter(list[_Alert])


class _Page(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)
    seq: int = Field(ge=0)
    at: float = Field(allow_inf_nan=False)
    role: str = Field(min_length=1)
    status: Literal["firing", "resolved"]
    alerts: tuple[_PagedAlert, ...]


class Pages(BaseModel):
    """The pages that were delivered, as the contract has them."""

    model_config = ConfigDict(frozen=True, strict=True)
    pages: tuple[_Page, ...]


async def check_look(exchange: Exchange) -> AsyncIterator[ContractFinding]:
    """Yield a finding for Prometheus, its rules, and the pages."""
    look = exchange.target.document.look
    async for finding in _prometheus(exchange, look.prometheus):
        yield finding
    if look.pages is None:
        yield ContractFinding.missing(LOOK, "No pages: nobody can tell whether a page arrives, and when.")
    else:
        yield await _pages(exchange, look.pages)


async def check_environment(exchange: Exchange) -> ContractFinding:
    """Return whether Alertmanager's alerts say that this is the environment of the target's file."""
    server = exchange.target.document.look.alertmanager
    if server is None:
        what = "No Alertmanager: nobody can tell whether an alert is routed, nor which environment this is."
        return ContractFinding.missing(LOOK, what)
    return await _alertmanager(exchange, server, exchange.target.document.environment)


async def prometheus_of(exchange: Exchange) -> Prometheus:
    """Return the target's Prometheus; raises SecretFileUnusable."""
    server = exchange.target.document.look.prometheus
    access = await exchange.access.of(server)
    return Prometheus(server.url, headers=access.headers, tls=access.tls)


async def _prometheus(exchange: Exchange, server: Server) -> AsyncIterator[ContractFinding]:
    try:
        prometheus = await prometheus_of(exchange)
        up = await prometheus.value("count(up == 1)")
        beats = await prometheus.query(WATCHDOG)
    except MoneypathError as error:
        yield ContractFinding.fails(LOOK, told(error))
        return
    if not up or not math.isfinite(up):
        yield ContractFinding.fails(
            LOOK, f"Prometheus at {server.url} answers and scrapes nothing that is up."
        )
    else:
        yield ContractFinding.holds(
            LOOK, f"Prometheus at {server.url} answers; {up:g} of its targets are up."
        )
    if beats:
        name = beats[0].labels.get("alertname", "the watchdog")
        yield ContractFinding.holds(LOOK, f"The rules are loaded: {name} fires, as it always does.")
    else:
        yield ContractFinding.fails(
            LOOK, "No watchdog fires, so the rules are not loaded: give Prometheus the alerts folder."
        )


async def _alertmanager(exchange: Exchange, server: Server, environment: str) -> ContractFinding:
    try:
        seen = await poll_until(
            lambda: _environments_of_watchdog(exchange, server),
            bool,
            every_seconds=POLL_SECONDS,
            within_seconds=SENT_WITHIN_SECONDS,
        )
    except MoneypathError as error:
        return ContractFinding.fails(LOOK, told(error))
    except ValidationError:
        return ContractFinding.fails(LOOK, f"{server.url} does not answer as Alertmanager does.")
    if not seen:
        what = f"Alertmanager at {server.url} has no watchdog: Prometheus sends it nothing."
        return ContractFinding.fails(LOOK, what)
    if seen != {environment}:
        return ContractFinding.fails(
            LOOK,
            f"The alerts say {ENVIRONMENT}: {', '.join(sorted(seen))}; the target is in {environment}. Set "
            "it as an external label of Prometheus, or pages of one environment reach the people of another.",
        )
    what = f"Alertmanager at {server.url} has the watchdog, with {ENVIRONMENT}: {environment}."
    return ContractFinding.holds(LOOK, what)


async def _environments_of_watchdog(exchange: Exchange, server: Server) -> set[str]:
    """Return what the watchdogs at Alertmanager say of their environment, `no label` for nothing."""
    url = f"{server.url.rstrip('/')}/api/v2/alerts?filter=alertname%3D~%22.*Watchdog%22"
    asked = HttpRequest.model_validate(server.model_dump() | {"url": url})
    alerts = _ALERTS.validate_python((await exchange.ask(Call(request=asked))).body)
    return {alert.labels.get(ENVIRONMENT, "no label") for alert in alerts}


async def _pages(exchange: Exchange, call: Call) -> ContractFinding:
    try:
        answer = await exchange.ask(call, {"after": 0, "wait_seconds": 0})
        found = Pages.model_validate_json(answer.text)
    except MoneypathError as error:
        return ContractFinding.fails(LOOK, told(error))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the answer"
        return ContractFinding.fails(LOOK, f"Pages cannot be read: {where}: {first['msg']}.")
    return ContractFinding.holds(LOOK, f"Pages can be read back; {len(found.pages)} are there.")
