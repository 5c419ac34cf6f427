"""Where a run keeps its state: `$XDG_STATE_HOME/moneypath/runs/<when>-<what>`."""

import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from moneypath.errors import MoneypathError
from moneypath.stack import folders
from moneypath.stack.endpoints import FILE_NAME as ENDPOINTS_FILE
from moneypath.stack.errors import FolderUnwritable

DECLARATION: Final = "moneypath.yaml"
FINISHED_RUNS_KEPT: Final = 20
STARTING_SECONDS: Final = 600.0


class ProjectNotFound(MoneypathError):
    """No moneypath.yaml where the command looked."""

    code = "project_not_found"


def project_folder(start: Path) -> Path:
    """Return the nearest folder from `start` upwards that holds moneypath.yaml; raises ProjectNotFound."""
    for folder in (start, *start.parents):
        if (folder / DECLARATION).is_file():
            return folder
    raise ProjectNotFound(
        f"no {DECLARATION} here or above: {start}",
        hint="Run the command in a project, or name one with --project.",
    )


def runs_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of all runs; it is absolute, since servers run elsewhere."""
    given = environ.get("XDG_STATE_HOME", "")
    if given and Path(given).is_absolute():  # the XDG specification has a relative one ignored
        return Path(given) / "moneypath" / "runs"
    home = folders.home(environ)
    state = Path(tempfile.gettempdir()) / f"moneypath-state-{os.getuid()}" if home is None else home
    return state.absolute() / ".local" / "state" / "moneypath" / "runs"


def new_run_folder(what: str, environ: Mapping[str, str] = os.environ) -> Path:
    """Return the path of a fresh run folder, not yet created; only the newest finished runs are kept.

    Raises FolderUnwritable when nothing can be written there.
    """
    runs = runs_folder(environ)
    try:
        for folder in (runs.parent, runs):
            folders.make_private(folder)
        _prune(runs)
    except OSError as error:
        raise FolderUnwritable(
            f"folder not writable: {runs} ({error.strerror})",
            hint="Set XDG_STATE_HOME to a folder that you own, on a disk that is not full or read-only.",
        ) from None
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    return runs / f"{stamp}-{what}-{secrets.token_hex(3)}"


def _prune(runs: Path) -> None:
    """Remove the oldest finished runs; a run with an endpoints file is running, a young one is starting."""
    finished = [folder for folder in sorted(runs.glob("*Z-*")) if _is_over(folder)]
    for folder in finished[:-FINISHED_RUNS_KEPT]:
        shutil.rmtree(folder, ignore_errors=True)


def _is_over(folder: Path) -> bool:
    try:
        age = time.time() - folder.stat().st_mtime
    except FileNotFoundError:  # another process prunes too
        return False
    return age > STARTING_SECONDS and not (folder / ENDPOINTS_FILE).exists()
