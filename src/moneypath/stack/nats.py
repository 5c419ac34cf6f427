"""A real NATS server with JetStream on loopback; it syncs every message before it acknowledges it."""

import asyncio
import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from moneypath.stack.binaries import Binary, find
from moneypath.stack.errors import FolderUnwritable
from moneypath.stack.server import ServerSpec, http_ready

CONFIG_FILE: Final = "nats.conf"
_USER = re.compile(r"[a-z][a-z0-9_]{0,62}")
_PASSWORD = re.compile(r"[A-Za-z0-9_\-.~]{8,200}")
# With `sync_interval: always`, acknowledged messages are on disk and survive a power cut.
_CONFIGURATION = """\
server_name: {name}
listen: "127.0.0.1:{port}"
http: "127.0.0.1:{monitoring_port}"
max_connections: 64
max_payload: 64KB
max_control_line: 4KB
ping_interval: "5s"
ping_max: 2
jetstream {{
  store_dir: {store}
  max_memory_store: 16MB
  max_file_store: 1GB
  sync_interval: always
}}
authorization {{
  users: [{{user: {user}, password: {password}}}]
  timeout: 2
}}
"""


@dataclass(frozen=True, slots=True)
class Nats:
    """A server that is ready to be started; `url` holds neither user nor password."""

    spec: ServerSpec
    folder: Path
    url: str
    monitoring_url: str
    user: str
    password: str = field(repr=False)


async def prepare(
    folder: Path,
    port: int,
    monitoring_port: int,
    *,
    user: str,
    password: str,
    name: str = "nats",
    binary: Binary | None = None,
) -> Nats:
    """Write the configuration into `folder`, with mode 0600 because of the password, and describe the server.

    Streams are stored in `folder` too, so that a restart in the same folder finds its messages again. Raises
    FolderUnwritable or BinaryMissing.
    """
    if not _USER.fullmatch(user) or not _PASSWORD.fullmatch(password):
        raise ValueError(f"user or password of NATS; allowed: {_USER.pattern} and {_PASSWORD.pattern}")
    found = binary if binary is not None else await asyncio.to_thread(find, "nats-server")
    file = folder / CONFIG_FILE
    text = _CONFIGURATION.format(
        name=name,
        port=port,
        monitoring_port=monitoring_port,
        store=json.dumps(str(folder / "jetstream"), ensure_ascii=False),
        user=json.dumps(user),
        password=json.dumps(password),
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as writer:
            writer.write(text)
        file.chmod(0o600)
    except OSError as error:
        raise FolderUnwritable(
            f"folder not writable: {folder} ({error.strerror})", hint="Choose a run folder that you own."
        ) from error
    monitoring_url = f"http://127.0.0.1:{monitoring_port}"

    def remove_write_tests() -> None:
        # At its start NATS writes an empty file to see whether it can. Killed before it removes the file, it
        # takes it for the folder of an account that it does not know, and is never healthy again.
        for left in (folder / "jetstream").rglob("_test_*"):
            if left.is_file():
                left.unlink(missing_ok=True)

    spec = ServerSpec(
        name=name,
        command=(str(found.path), "--config", str(file)),
        # The health endpoint includes JetStream, so it is ready only after its streams are recovered.
        ready=http_ready(f"{monitoring_url}/healthz"),
        cwd=folder,
        port=port,
        ready_within_seconds=60.0,
        before_start=remove_write_tests,
        hint=f"Check its configuration: '{found.path}' -t --config '{file}'.",
    )
    return Nats(spec, folder, f"nats://127.0.0.1:{port}", monitoring_url, user, password)
