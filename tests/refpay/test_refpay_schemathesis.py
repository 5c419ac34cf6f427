"""schemathesis against the real API: no server error, and no answer that the description does not foresee."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from refpay.identity.principals import Scope
from refpay.operations.routing import Routing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.refpay.conftest import Client, RefpayDb

    from refpay.settings import Settings

# What a well-formed request may meet besides: a cursor of another listing, an issuer that declines, headers
# that are too large, a card number that happens to be valid. A server error is none of it.
CONFIGURATION = """
hooks = "fresh_keys.py"
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "400", "401", "402", "403", "404", "409", "413", "422", "429"]

# No example knows the id of another one's approval, or a client's secret; the tests of identity do.
[[operations]]
include-path-regex = "/v1/(approvals/|oauth/).*"
warnings = false
"""
# Left alone it sends the same few idempotency keys with ever other bodies, and learns what a used key says.
HOOKS = """
import itertools
import schemathesis

COUNT = itertools.count(1)


@schemathesis.hook
def before_call(ctx, case, **kwargs):
    positive = case.meta is not None and case.meta.generation.mode.is_positive
    number = next(COUNT)
    if positive and number % 5 and "Idempotency-Key" in (case.headers or {}):
        case.headers["Idempotency-Key"] = f"fresh-{number}"
"""


@pytest.fixture
def token(make_token: "Callable[..., str]") -> str:
    """Return the token of one caller who may do everything."""
    return make_token("everybody", set(Scope))


async def explore(
    api: "Client", token: str, folder: Path, description: "Mapping[str, Any]", *flags: str
) -> tuple[int, str]:
    """Run schemathesis over a description; return its exit code and what it said."""
    (folder / "schemathesis.toml").write_text(CONFIGURATION)
    (folder / "fresh_keys.py").write_text(HOOKS)
    (folder / "openapi.json").write_text(json.dumps(description))
    running = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "schemathesis.cli",
        "--config-file",
        "schemathesis.toml",
        "--no-color",
        "run",
        "openapi.json",
        "--url",
        api.url,
        "--checks",
        "all",
        "--continue-on-failure",
        "--header",
        f"Authorization: Bearer {token}",
        "--request-timeout",
        "20",
        "--no-shrink",
        *flags,
        cwd=folder,
        env={**os.environ, "COLUMNS": "110"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await running.communicate()
    assert running.returncode is not None
    return running.returncode, said.decode()


async def conforms(api: "Client", token: str, db: "RefpayDb", folder: Path, *flags: str) -> None:
    """Fail on a finding, on a part of the description that was not tried, and on a run that moved nothing."""
    description = (await api.get("/v1/openapi.json", by=None)).body
    code, said = await explore(api, token, folder, description, *flags)
    assert code == 0, said
    assert "Unresolvable references" not in said, said
    (operations,) = (line for line in said.splitlines() if line.strip().startswith("Tested:"))
    assert int(operations.split()[1]) == sum(map(len, description["paths"].values()))
    done = {row["action"] for row in await db.rows("SELECT DISTINCT action FROM audit.event")}
    assert done >= {"authorize.succeeded", "provider.drained", "card_range.blocked"}


async def test_every_answer_is_described_and_none_is_a_server_error(
    live_settings: "Settings",
    token: str,
    db: "RefpayDb",
    run_api: "Callable[[Settings], Any]",
    tmp_path: Path,
) -> None:
    """All checks over every operation, a few examples of each, always the same."""
    async with run_api(live_settings) as api:
        await conforms(api, token, db, tmp_path, "--seed", "1", "--max-examples", "25")


@pytest.mark.proof
@pytest.mark.timeout(1200)
async def test_many_examples_find_nothing_either(
    live_settings: "Settings",
    token: str,
    db: "RefpayDb",
    run_api: "Callable[[Settings], Any]",
    tmp_path: Path,
) -> None:
    """New ones each time, for minutes; the seed is in what is said on failure."""
    async with run_api(live_settings) as api:
        await conforms(api, token, db, tmp_path, "--max-examples", "300", "--max-time", "240")


async def test_what_is_not_as_described_is_found(
    live_settings: "Settings",
    token: str,
    run_api: "Callable[[Settings], Any]",
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The proof can fail: an answer left out, a field of another type, a bug behind an endpoint."""
    async with run_api(live_settings) as api:
        text = (await api.get("/v1/openapi.json", by=None)).raw.decode()

        async def found(name: str, description: Any) -> str:
            flags = ("--include-operation-id", name, "--phases", "coverage", "--max-failures", "5")
            code, said = await explore(api, token, tmp_path, description, *flags)
            assert code == 1, said
            return said

        silent = json.loads(text)
        del silent["paths"]["/v1/payments/{payment_id}"]["get"]["responses"]["404"]
        assert "Undocumented status code" in await found("show_payment", silent)
        wrong = json.loads(text)
        wrong["components"]["schemas"]["RouteView"]["properties"]["routing_active"]["type"] = "integer"
        assert "Response violates schema" in await found("show_routing", wrong)

        async def broken(_: object) -> bytes:
            raise LookupError("a bug")

        monkeypatch.setattr(Routing, "read", broken)
        assert "Server error" in await found("show_routing", json.loads(text))
