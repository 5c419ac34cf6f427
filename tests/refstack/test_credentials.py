"""Each process gets the secrets that it needs and no other."""

import hashlib
import json
import stat
from pathlib import Path

from refpay.clock import SystemClock
from refpay.identity.principals import Principals
from refpay.identity.signing import read_signing_keys
from refstack.credentials import SCOPES, mint


def test_secrets_are_private_and_split_by_reader(tmp_path: Path) -> None:
    """Files are 0600; no acquirer knows another's key; the service never sees a client's secret."""
    credentials = mint(tmp_path, providers=["north", "south"], roles=["eng"])
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    north = {file.name for file in credentials.acquirer("north").iterdir()}
    assert north == {"north_api_key", "north_control_token", "webhook_north.json"}
    refpay = "".join(file.read_text() for file in credentials.refpay.iterdir())
    for file in (*credentials.clients.glob("*_token"), *credentials.clients.glob("*_client")):
        assert file.read_text().rpartition(":")[2] not in refpay, file.name
    assert len(list(credentials.clients.glob("*_client"))) == len(SCOPES)
    assert credentials.superuser not in refpay
    assert credentials.database["refpay_owner"] not in refpay
    assert [file.read_text() for file in credentials.schema.iterdir()] == [
        credentials.database["refpay_owner"]
    ]


def test_no_client_both_moves_money_and_steers_the_service(tmp_path: Path) -> None:
    """Scopes of payments and of operations are never in one client, and hashes match the secrets."""
    credentials = mint(tmp_path, providers=["north"], roles=["eng"])
    clients = json.loads((credentials.refpay / "clients.json").read_text())["clients"]
    assert {client["name"] for client in clients} == set(SCOPES)
    for client in clients:
        rooms = {scope.split(":")[0] for scope in client["scopes"]}
        assert not {"payments", "operations"} <= rooms
        assert not {"operations:repair", "approvals:decide"} <= set(client["scopes"])
        name, _, secret = (credentials.clients / f"{client['name']}_client").read_text().partition(":")
        assert (name, hashlib.sha256(secret.encode()).hexdigest()) == (
            client["name"],
            client["secret_sha256"],
        )


def test_what_is_minted_again_is_kept(tmp_path: Path) -> None:
    """Keys of tokens and webhooks and secrets of clients outlive a second minting; two runs share none."""
    first, again, other = (
        mint(tmp_path / name, providers=["north"], roles=["eng"]) for name in ("one", "one", "two")
    )
    for name in ("token_keys.json", "webhook_north.json", "clients.json"):
        assert (first.refpay / name).read_text() == (again.refpay / name).read_text()
        assert (first.refpay / name).read_text() != (other.refpay / name).read_text()


def test_a_password_of_the_owner_that_the_service_could_read_is_replaced(tmp_path: Path) -> None:
    """A folder of before is brought up to date: what lay in it is no password any more."""
    before = mint(tmp_path, providers=["north"], roles=["eng"]).database
    (tmp_path / "refpay" / "refpay_owner_password").write_text(before["refpay_owner"])
    after = mint(tmp_path, providers=["north"], roles=["eng"])
    assert after.database["refpay_owner"] != before["refpay_owner"]
    assert after.database["refpay_app"] == before["refpay_app"]
    assert not (after.refpay / "refpay_owner_password").exists()
    assert (after.schema / "refpay_owner_password").read_text() == after.database["refpay_owner"]


def test_the_service_reads_what_is_minted(tmp_path: Path) -> None:
    """Clients, keys and webhook secrets as the service's own readers take them."""
    credentials = mint(tmp_path, providers=["north"], roles=["eng"])
    principals = Principals.load(credentials.refpay, SystemClock())
    assert set(principals.clients.get().by_name) == set(SCOPES)
    keys = read_signing_keys(credentials.refpay / "webhook_north.json")
    assert keys == read_signing_keys(credentials.acquirer("north") / "webhook_north.json")
    assert len(keys) == 1
