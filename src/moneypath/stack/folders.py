"""Where the stack keeps files, and which accounts can reach them."""

import atexit
import contextlib
import os
import pwd
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from moneypath.stack.errors import FolderUnwritable

PRIVATE_UMASK: Final = 0o077


@dataclass(frozen=True, slots=True)
class Account:
    """An unprivileged user to run a server as."""

    name: str
    uid: int
    gid: int


@contextlib.contextmanager
def private_files() -> Iterator[None]:
    """Within the block, give what this process and its children create to their own account alone.

    The umask belongs to the whole process, so this is for commands, around all that a run writes.
    """
    before = os.umask(PRIVATE_UMASK)
    try:
        yield
    finally:
        os.umask(before)


def make_private(folder: Path) -> None:
    """Create a folder that only its owner may enter, or close one that is there; raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid == os.geteuid():
        folder.chmod(0o700)


def unprivileged_account() -> Account | None:
    """Return the account for servers that refuse to run as root; None if we are not root."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        raise FolderUnwritable(
            "no unprivileged user: PostgreSQL refuses to run as root, and there is no user `nobody`",
            hint="Run as an ordinary user, or create the user `nobody`.",
        ) from None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def is_reachable(path: Path, account: Account) -> bool:
    """Tell whether the account may enter every folder on the way to `path`, by the mode bits.

    Access control lists are ignored. If they grant more, a private copy is made without need.
    """
    resolved = path.resolve()
    return all(_may_traverse(folder.stat(), account) for folder in resolved.parents)


def _may_traverse(folder: os.stat_result, account: Account) -> bool:
    if folder.st_uid == account.uid:
        return bool(folder.st_mode & stat.S_IXUSR)
    if folder.st_gid == account.gid:
        return bool(folder.st_mode & stat.S_IXGRP)
    return bool(folder.st_mode & stat.S_IXOTH)


def private_folder(account: Account) -> Path:
    """Create a folder for that account in the first temporary folder that it can reach.

    The caller removes it or passes it to a supervisor. Otherwise it is removed when the process exits.
    """
    for parent in dict.fromkeys((tempfile.gettempdir(), "/tmp", "/var/tmp")):  # noqa: S108  # mkdtemp below
        candidate = Path(parent)
        if candidate.is_dir() and is_reachable(candidate / "x", account):
            folder = Path(tempfile.mkdtemp(prefix="moneypath-", dir=candidate))
            os.chown(folder, account.uid, account.gid)
            atexit.register(_remove_own, folder, os.getpid())
            return folder
    raise FolderUnwritable(
        f"no temp folder for user {account.name}: {tempfile.gettempdir()}, /tmp, /var/tmp",
        hint="Set TMPDIR to a folder that every user may enter, or run as an ordinary user.",
    )


def _remove_own(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # not in a forked child
        shutil.rmtree(folder, ignore_errors=True)


def home(environ: Mapping[str, str]) -> Path | None:
    """Return the home folder. If HOME is unset or empty (`env -i`), the user database decides."""
    given = environ.get("HOME", "")
    if given:
        return Path(given)
    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        return None


def cache_folder(environ: Mapping[str, str]) -> Path:
    """Return the folder for fetched packages: $XDG_CACHE_HOME/moneypath, else ~/.cache/moneypath.

    If neither can be written (a user without a home folder), use one in the temporary folder, private to this
    user.
    """
    given = environ.get("XDG_CACHE_HOME", "")
    own_home = home(environ)
    if given and Path(given).is_absolute():
        candidates = [Path(given) / "moneypath"]
    else:
        candidates = [] if own_home is None else [own_home / ".cache" / "moneypath"]
        candidates.append(Path(tempfile.gettempdir()) / f"moneypath-cache-{os.getuid()}")
    for candidate in candidates:
        if _is_own(candidate):
            return candidate
    raise FolderUnwritable(
        f"folder not writable: {candidates[-1]}",
        hint="Set XDG_CACHE_HOME to a folder that you own.",
    )


def _is_own(folder: Path) -> bool:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    except OSError:
        return False
    # Programs are run from there: nobody else may be able to put one in.
    return status.st_uid == os.getuid() and not status.st_mode & 0o022 and os.access(folder, os.W_OK)
