"""Create the secrets of one run, and give each process only those that it needs."""

import base64
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from moneypath.stack import secrets

# Clients and all that they may ask for. Paying and steering the service are never in one client, and whoever
# may ask for a repair is not the one who may approve it.
SCOPES: Final[Mapping[str, tuple[str, ...]]] = {
    "checkout": (
        "payments:authorize",
        "payments:capture",
        "payments:refund",
        "payments:void",
        "payments:read",
    ),
    "canary": ("payments:authorize", "traffic:canary"),
    "operations": (
        "operations:read",
        "operations:route",
        "operations:risk",
        "operations:replay",
        "operations:repair",
    ),
    "approver": ("approvals:decide",),
    "auditor": ("operations:read", "audit:read", "ledger:read"),
}
_KEY_ID: Final = "first"
DATABASE: Final = "refpay"
DATABASE_OWNER: Final = "refpay_owner"
DATABASE_ROLES: Final = (DATABASE_OWNER, "refpay_app", "refpay_oracle")
NATS_USER: Final = "refpay"
OWNER_PASSWORD: Final = "refpay_owner_password"  # noqa: S105 - a file's name


@dataclass(frozen=True, slots=True)
class Credentials:
    """Folders of secrets, each for one reader, all under `folder`."""

    folder: Path
    database: Mapping[str, str]
    superuser: str
    nats: str

    @property
    def clients(self) -> Path:
        """Return the folder of the API clients: load test, canary, operations, roles, drills."""
        return self.folder / "clients"

    @property
    def refpay(self) -> Path:
        """Return the payment service's folder."""
        return self.folder / "refpay"

    @property
    def schema(self) -> Path:
        """Return the folder of the migration, which alone connects as the owner of the database."""
        return self.folder / "schema"

    @property
    def pager(self) -> Path:
        """Return the pager's folder."""
        return self.folder / "pager"

    @property
    def alertmanager(self) -> Path:
        """Return Alertmanager's folder."""
        return self.folder / "alertmanager"

    def acquirer(self, name: str) -> Path:
        """Return one acquirer's folder."""
        return self.folder / name


def mint(folder: Path, *, providers: Iterable[str], roles: Iterable[str]) -> Credentials:
    """Create every secret of a run under `folder`; files are 0600, folders 0700.

    Raises FolderUnwritable.
    """
    providers, roles = tuple(providers), tuple(roles)
    _forget_exposed(folder)
    clients = {name: secrets.mint_client(folder / "clients", name) for name in SCOPES}
    secrets.write_once(folder / "refpay" / "token_keys.json", _token_keys())
    role_tokens = secrets.mint(folder / "clients", [f"role_{role}_token" for role in roles])
    controls = secrets.mint(folder / "clients", [f"{name}_control_token" for name in providers])
    database = secrets.mint(folder / "database", [*DATABASE_ROLES, "postgres"])
    nats = secrets.mint(folder / "nats", ["nats_password"])
    pager = secrets.mint(folder / "alertmanager", ["pager_token"])
    keys = {name: secrets.mint(folder / name, [f"{name}_api_key"]) for name in providers}
    for name in providers:
        _put(folder / name, {f"{name}_control_token": controls[f"{name}_control_token"]})
        file = f"webhook_{name}.json"
        _put(folder / name, {file: secrets.write_once(folder / "refpay" / file, _webhook_keys())})
    _put(folder / "pager", {**pager, **role_tokens})
    _put(
        folder / "refpay",
        {
            **{key: value for minted in keys.values() for key, value in minted.items()},
            "refpay_app_password": database["refpay_app"],
            **nats,
            "clients.json": _clients(clients),
        },
    )
    _put(folder / "schema", {OWNER_PASSWORD: database[DATABASE_OWNER]})
    superuser = database.pop("postgres")
    return Credentials(folder, database, superuser, nats["nats_password"])


def _forget_exposed(folder: Path) -> None:
    """Remove the owner's password if API and worker could read it, so that another one is minted."""
    exposed = folder / "refpay" / OWNER_PASSWORD
    if exposed.exists():
        (folder / "database" / DATABASE_OWNER).unlink(missing_ok=True)
        exposed.unlink()


def _clients(minted: Mapping[str, str]) -> str:
    clients = [
        {
            "name": name,
            "secret_sha256": hashlib.sha256(minted[name].encode()).hexdigest(),
            "scopes": list(scopes),
        }
        for name, scopes in SCOPES.items()
    ]
    return json.dumps({"clients": clients}, indent=2)


def _token_keys() -> str:
    # An Ed25519 key is any 32 random bytes; `python -m refpay.identity rotate` makes the next.
    private = base64.urlsafe_b64encode(os.urandom(32)).rstrip(b"=").decode()
    return json.dumps({"signing": _KEY_ID, "keys": {_KEY_ID: {"private": private}}}, indent=2)


def _webhook_keys() -> str:
    return json.dumps({"keys": {_KEY_ID: os.urandom(32).hex()}}, indent=2)


def _put(folder: Path, files: Mapping[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    for name, text in files.items():
        descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as writer:
            writer.write(text)
