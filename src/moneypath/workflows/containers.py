"""What compose.yaml needs besides itself: its containers' secrets and its Alertmanager's routes."""

import os
from pathlib import Path
from typing import Final

from moneypath.alerting import routing
from moneypath.alerting.timing import Scale
from moneypath.path.model import MoneyPath
from moneypath.stack import secrets
from moneypath.stack.errors import FolderUnwritable
from moneypath.workflows.credentials import mint
from moneypath.workflows.declaration import load_declaration

ROUTES_FILE: Final = "alertmanager.yml"
PAGER_URL: Final = "http://pager:8084"
SECRETS_FOLDER: Final = ".secrets"
ENVIRONMENT_FILE: Final = "compose.env"
NATS_USER: Final = "refpay"


def container_files(path: MoneyPath) -> dict[str, str]:
    """Return the files to commit: Alertmanager's routes to the pager of compose.yaml, if there is one."""
    if path.outputs.compose is None:
        return {}
    routes = routing.configuration(
        path, Scale(1), pager_url=PAGER_URL, credentials_file="secrets/pager_token"
    )
    return {f"{path.outputs.compose}/{ROUTES_FILE}": routes}


def mint_for_containers(project: Path) -> Path:
    """Create every secret that compose.yaml mounts and return their folder; existing ones are kept.

    Raises FolderUnwritable, and what reading the declaration raises.
    """
    path = load_declaration(project)
    folder = project / SECRETS_FOLDER
    credentials = mint(folder, providers=path.provider_ids(), roles=path.paged_roles())
    secrets.mint(folder / "grafana", ["admin_password"])
    user = f"{os.getuid()}:{os.getgid()}"
    client = f'{{user: {NATS_USER}, password: "{credentials.nats}"}}'
    files = {
        folder / "nats" / "authorization.conf": f"authorization {{\n  users: [{client}]\n  timeout: 2\n}}\n",
        folder / ENVIRONMENT_FILE: f"MONEYPATH_USER={user}\n",
    }
    try:
        for file, text in files.items():
            _put(file, text)
    except OSError as error:
        raise FolderUnwritable(
            f"file not writable: {error.filename} ({error.strerror})",
            hint=f"Remove {folder} and create the secrets again.",
        ) from error
    return folder


def _put(file: Path, text: str) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as writer:
        writer.write(text)
