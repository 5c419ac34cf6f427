"""schemathesis against the real API: no server error, and no answer that the description does not foresee."""

import asyncio
import hashlib
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from refpay.identity.principals import Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.refpay.conftest import Client

    from refpay.settings import Settings

TOKEN = "token-of-everything"
# What a well-formed request may meet besides: an amount that is not there to refund, a card that is
# declined, a provider that is away, a cursor of another listing, headers that are too large.
CONFIGURATION = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "400", "401", "402", "403", "404", "409", "413", "422", "429", "502", "503"]
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", "502", "503"]
"""


@pytest.fixture
def open_settings(live_settings: "Settings", tmp_path: Path) -> "Settings":
    """Return settings with one caller who may do everything."""
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    everything = {"name": "everything", "token_sha256": digest, "scopes": list(Scope)}
    (tmp_path / "tokens.json").write_text(json.dumps({"principals": [everything]}))
    return replace(live_settings, tokens_file=tmp_path / "tokens.json")


async def explore(
    api: "Client", folder: Path, description: "Mapping[str, Any]", *flags: str
) -> tuple[int, str]:
    """Run schemathesis over a description; return its exit code and what it said."""
    (folder / "schemathesis.toml").write_text(CONFIGURATION)
    (folder / "openapi.json").write_text(json.dumps(description))
    running = await asyncio.create_subprocess_exec(
        *(
            sys.executable,
            "-m",
            "schemathesis.cli",
            "--config-file",
            "schemathesis.toml",
            "--no-color",
            "run",
        ),
        *("openapi.json", "--url", api.url, "--checks", "all", "--continue-on-failure"),
        *("--header", f"Authorization: Bearer {TOKEN}", "--request-timeout", "20", *flags),
        cwd=folder,
        env={**os.environ, "COLUMNS": "110"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await running.communicate()
    assert running.returncode is not None
    return running.returncode, said.decode()


async def test_every_answer_is_described_and_none_is_a_server_error(
    open_settings: "Settings", run_api: "Callable[[Settings], Any]", tmp_path: Path
) -> None:
    """All checks of schemathesis over every operation, a bounded number of examples, always the same."""
    async with run_api(open_settings) as api:
        description = (await api.get("/v1/openapi.json", by=None)).body
        code, said = await explore(
            api,
            tmp_path,
            description,
            "--seed",
            "1",
            "--max-examples",
            os.environ.get("N", "10"),
            "--no-shrink",
        )
    assert code == 0, said
