"""Refused webhooks: which count for the provider, which are strangers', and what neither can do."""

import asyncio
import ipaddress
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from tests.refpay.test_refpay_money_endpoints import signed, tell

from refpay.settings import RateSettings

if TYPE_CHECKING:
    from tests.refpay.conftest import Client

    from refpay.settings import Network, Settings

PATH = "/v1/webhooks/north"
BODY = b"{}"
REFUSED = {"provider": "north", "result": "bad_signature"}
LIMITED = "moneypath_requests_limited_total"
HERE: "tuple[Network, ...]" = (ipaddress.ip_network("127.0.0.0/8"),)
ELSEWHERE: "tuple[Network, ...]" = (ipaddress.ip_network("192.0.2.0/24"),)
RunApi = Callable[["Settings"], Any]


def unsigned() -> Mapping[str, str]:
    """Return the headers of a request that nobody signed."""
    return {}


def forged(key: str = "north-1") -> Mapping[str, str]:
    """Return the headers of a request that names a key and is not signed with it."""
    right = signed("north", BODY)
    return {**right, "X_Signature_Key": key, "X_Signature": "v1=" + "0" * 64}


def unknown() -> Mapping[str, str]:
    """Return the headers of a request that names a key that nobody has."""
    return forged("stranger-1")


async def counts(api: "Client") -> tuple[float, float, float]:
    """Return what counts for north, and what strangers sent: unsigned, with an unknown key."""
    strangers = "moneypath_webhooks_unattributed_total"
    return (
        await api.metric("moneypath_webhooks_total", **REFUSED),
        await api.metric(strangers, provider="north", reason="unsigned"),
        await api.metric(strangers, provider="north", reason="unknown_key"),
    )


def from_north(settings: "Settings", networks: "tuple[Network, ...]", **rates: int) -> "Settings":
    """Return settings in which north declares where its webhooks come from."""
    north, *others = settings.providers
    north = replace(north, webhook_networks=networks)
    return replace(settings, providers=(north, *others), rates=RateSettings(**rates))


@pytest.mark.parametrize(
    ("networks", "headers", "counted"),
    [
        ((), unsigned, (0, 1, 0)),
        ((), unknown, (0, 0, 1)),
        ((), forged, (1, 0, 0)),
        (HERE, unsigned, (1, 0, 0)),
        (HERE, unknown, (1, 0, 0)),
        (HERE, forged, (1, 0, 0)),
        (ELSEWHERE, unsigned, (0, 1, 0)),
        (ELSEWHERE, unknown, (0, 0, 1)),
        (ELSEWHERE, forged, (1, 0, 0)),
    ],
)
async def test_a_known_key_or_a_declared_address_counts_for_the_provider(
    settings: "Settings",
    run_api: RunApi,
    networks: "tuple[Network, ...]",
    headers: Callable[[], Mapping[str, str]],
    counted: tuple[float, float, float],
) -> None:
    """And nothing else does; a header that claims an address is not believed."""
    async with run_api(from_north(settings, networks)) as api:
        claim = {"X_Forwarded_For": "192.0.2.1", "Forwarded": "for=192.0.2.1"}
        answer = await api.send("POST", PATH, BODY, by=None, **headers(), **claim)
        assert (answer.status, answer.body["code"]) == (401, "signature_refused")
        assert await counts(api) == counted


async def test_two_keys_named_at_once_are_no_key(settings: "Settings", run_api: RunApi) -> None:
    """As for the signature itself: a header that stands twice is none."""
    async with run_api(settings) as api:
        header = [("X-Signature-Key", "north-1"), ("X-Signature-Key", "north-1")]
        async with api.session.post(PATH, data=BODY, headers=header) as answer:
            assert answer.status == 401
        assert await counts(api) == (0, 1, 0)


async def test_what_a_limit_refuses_counts_for_nobody(settings: "Settings", run_api: RunApi) -> None:
    """Whoever knows a key's id is held to a rate; what is over it is counted as limited alone."""
    async with run_api(from_north(settings, (), refused_per_second=1)) as api:
        sent = (api.send("POST", PATH, BODY, by=None, **forged()) for _ in range(40))
        statuses = [answer.status for answer in await asyncio.gather(*sent)]
        assert set(statuses) == {401, 429}
        assert await counts(api) == (statuses.count(401), 0, 0)
        assert await api.metric(LIMITED, limit="refused") == statuses.count(429)


async def test_well_signed_webhooks_over_the_limit_count_for_nobody(
    settings: "Settings", run_api: RunApi
) -> None:
    """A provider that sends too much has signed nothing wrong."""
    async with run_api(from_north(settings, (), principal_per_second=1)) as api:
        statuses = [(await tell(api, "north", {"event": str(uuid4())})).status for _ in range(12)]
        assert 429 in statuses
        assert await counts(api) == (0, 0, 0)
        assert await api.metric(LIMITED, limit="principal") == statuses.count(429)


@pytest.mark.parametrize("networks", [(), HERE])
async def test_strangers_cannot_hide_a_provider_that_signs_with_a_wrong_key(
    settings: "Settings", run_api: RunApi, networks: "tuple[Network, ...]"
) -> None:
    """Their limit is used up, for south and for north; what north signs wrongly is still counted."""
    async with run_api(from_north(settings, networks, strangers_per_second=1)) as api:
        flood = (api.send("POST", "/v1/webhooks/south", BODY, by=None) for _ in range(30))
        assert 429 in {answer.status for answer in await asyncio.gather(*flood)}
        for number in range(1, 6):
            assert (await api.send("POST", PATH, BODY, by=None, **forged())).status == 401
            assert (await counts(api))[0] == number


async def test_a_forger_of_one_provider_takes_nothing_from_another(
    settings: "Settings", run_api: RunApi
) -> None:
    """Each has a limit of its own, and neither keeps a well-signed webhook out."""
    async with run_api(from_north(settings, (), refused_per_second=1)) as api:
        flood = (api.send("POST", PATH, BODY, by=None, **forged()) for _ in range(30))
        assert 429 in {answer.status for answer in await asyncio.gather(*flood)}
        south = {**signed("south", BODY), "X_Signature": "v1=" + "0" * 64}
        assert (await api.send("POST", "/v1/webhooks/south", BODY, by=None, **south)).status == 401
        event = {"event": str(uuid4()), "type": "chargeback.opened", "key": str(uuid4())}
        money = {"amount": 1, "currency": "EUR", "movement": "cb-1"}
        assert (await tell(api, "north", event | money)).status == 204


async def test_a_replay_counts_for_the_provider(settings: "Settings", run_api: RunApi) -> None:
    """It was signed by somebody who has the key; sent again too late it is refused as well."""
    event = {"event": str(uuid4()), "type": "chargeback.opened", "key": str(uuid4())}
    body = json.dumps({**event, "amount": 1, "currency": "EUR", "movement": "cb-1"}).encode()
    async with run_api(settings) as api:
        headers = signed("north", body)
        statuses = [(await api.send("POST", PATH, body, by=None, **headers)).status for _ in range(3)]
        assert statuses == [204, 403, 403]
        late = signed("north", body, at=int(time.time()) - 60)
        assert (await api.send("POST", PATH, body, by=None, **late)).status == 401
        assert await counts(api) == (3, 0, 0)
