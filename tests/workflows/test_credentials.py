"""Each process gets the secrets that it needs and no other."""

import json
import stat
from pathlib import Path

from moneypath.workflows.credentials import SCOPES, mint


def test_secrets_are_private_and_split_by_reader(tmp_path: Path) -> None:
    """Files are 0600; no acquirer knows another's key; the service never sees a client's token."""
    credentials = mint(tmp_path, providers=["north", "south"], roles=["eng"])
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    north = {file.name for file in credentials.acquirer("north").iterdir()}
    assert north == {"north_api_key", "north_control_token"}
    refpay = "".join(file.read_text() for file in credentials.refpay.iterdir())
    for token in credentials.clients.glob("*_token"):
        assert token.read_text() not in refpay, token.name
    assert credentials.superuser not in refpay


def test_no_token_both_moves_money_and_steers_the_service(tmp_path: Path) -> None:
    """Scopes of payments and of operations are never in one principal, and hashes match the tokens."""
    credentials = mint(tmp_path, providers=["north"], roles=["eng"])
    principals = json.loads((credentials.refpay / "tokens.json").read_text())["principals"]
    assert {principal["name"] for principal in principals} == set(SCOPES)
    for principal in principals:
        rooms = {scope.split(":")[0] for scope in principal["scopes"]}
        assert not {"payments", "operations"} <= rooms
