"""A real RabbitMQ from Debian's packages: one node on loopback with names, ports and a cookie of its own.

No drill uses it. It is for projects whose consumers use RabbitMQ, and for the tests of their instrumentation.
"""

import asyncio
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from moneypath.stack import folders, packages
from moneypath.stack.errors import FolderUnwritable, PackageUnavailable
from moneypath.stack.packages import Progress
from moneypath.stack.server import Probe, ServerSpec

PACKAGE: Final = "rabbitmq-server"
_GREETING: Final = b"AMQP\x00\x00\x09\x01"
_METHOD_FRAME: Final = b"\x01"
_ANSWER_WITHIN_SECONDS: Final = 2.0
_USER: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")
_PASSWORD: Final = re.compile(r"[A-Za-z0-9_\-.~]{8,200}")
_CONFIGURATION: Final = """\
listeners.tcp.1 = 127.0.0.1:{port}
default_user = {user}
default_pass = {password}
vm_memory_high_watermark.absolute = 256MB
disk_free_limit.absolute = 50MB
log.console = true
log.file = false
"""


@dataclass(frozen=True, slots=True)
class RabbitMQ:
    """A broker that is ready to be started. Its nodes find each other through a name server, which starts
    first.
    """

    names: ServerSpec
    spec: ServerSpec
    port: int
    user: str
    password: str = field(repr=False)

    @property
    def url(self) -> str:
        """Return the address with user and password, as client libraries expect it."""
        return f"amqp://{self.user}:{self.password}@127.0.0.1:{self.port}/"


def find_home(environ: Mapping[str, str] | None = None, progress: Progress | None = None) -> Path:
    """Return a folder with RabbitMQ and its Erlang; fetch and unpack them without root if necessary.

    Downloads 33 MB, once. Blocks; raises PackageUnavailable or FolderUnwritable.
    """
    environment = os.environ if environ is None else environ
    return packages.fetch(PACKAGE, folders.cache_folder(environment), environment, progress)


async def prepare(
    folder: Path,
    *,
    port: int,
    names_port: int,
    distribution_port: int,
    user: str,
    password: str,
    name: str = "rabbitmq",
    home: Path | None = None,
) -> RabbitMQ:
    """Write the configuration into `folder`, with mode 0600 because of the password, and describe both
    servers.

    Queues are stored in `folder` too. Raises FolderUnwritable or PackageUnavailable.
    """
    if not _USER.fullmatch(user) or not _PASSWORD.fullmatch(password):
        raise ValueError(f"user or password of RabbitMQ; allowed: {_USER.pattern} and {_PASSWORD.pattern}")
    unpacked = home if home is not None else await asyncio.to_thread(find_home)
    erlang = unpacked / "usr" / "lib" / "erlang"
    programs = _only(erlang, "erts-*") / "bin"
    rabbit = _only(unpacked / "usr" / "lib" / "rabbitmq" / "lib", "rabbitmq_server-*")
    file = folder / "rabbitmq.conf"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        file.touch(mode=0o600)
        file.chmod(0o600)
        file.write_text(_CONFIGURATION.format(port=port, user=user, password=password), encoding="utf-8")
    except OSError as error:
        raise FolderUnwritable(
            f"folder not writable: {folder} ({error.strerror})", hint="Choose a run folder that you own."
        ) from error
    names = ServerSpec(
        name=f"{name}-names",
        command=(str(programs / "epmd"), "-port", str(names_port), "-address", "127.0.0.1"),
        ready=_connectable(names_port),
        port=names_port,
    )
    spec = ServerSpec(
        name=name,
        command=_command(programs),
        env={
            "ROOTDIR": str(erlang),
            "BINDIR": str(programs),
            "EMU": "beam",
            "PROGNAME": "erl",
            "ERL_LIBS": str(rabbit / "plugins"),
            "ERL_EPMD_PORT": str(names_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            # Erlang keeps the node's secret cookie there.
            "HOME": str(folder),
            "RABBITMQ_HOME": str(rabbit),
            "RABBITMQ_NODENAME": f"{name}@localhost",
            "RABBITMQ_CONFIG_FILE": str(file),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "no-such-file"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(folder / "generated"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_PLUGINS_DIR": str(rabbit / "plugins"),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_DIST_PORT": str(distribution_port),
        },
        ready=_speaks_amqp(port),
        cwd=folder,
        port=port,
        ready_within_seconds=120.0,
        stop_grace_seconds=30.0,
        hint="Read the log of RabbitMQ for the reason.",
    )
    return RabbitMQ(names, spec, port, user, password)


def _command(programs: Path) -> tuple[str, ...]:
    # The last command of the package's start script, run directly so that signals reach it.
    return (
        str(programs / "erlexec"),
        "-noinput",
        "-s",
        "rabbit",
        "boot",
        "-boot",
        "start_sasl",
        "+W",
        "w",
        "+B",
        "i",
        # Two schedulers and no busy waiting, because tests share the machine.
        "+S",
        "2:2",
        "+sbwt",
        "none",
        "+sbwtdcpu",
        "none",
        "+sbwtdio",
        "none",
        "-kernel",
        "inet_dist_use_interface",
        "{127,0,0,1}",
        "-kernel",
        "prevent_overlapping_partitions",
        "false",
        "-syslog",
        "logger",
        "[]",
        "-syslog",
        "syslog_error_logger",
        "false",
    )


def _only(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise PackageUnavailable(
            f"package not as expected: {PACKAGE}; {folder / pattern}: {len(found)} found"
        )
    return found[0]


def _connectable(port: int) -> Probe:
    async def probe() -> bool:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        await writer.wait_closed()
        return True

    return probe


def _speaks_amqp(port: int) -> Probe:
    async def probe() -> bool:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(_GREETING)
            async with asyncio.timeout(_ANSWER_WITHIN_SECONDS):
                return await reader.read(1) == _METHOD_FRAME
        finally:
            writer.close()
            await writer.wait_closed()

    return probe
