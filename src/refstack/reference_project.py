"""The reference project: what the demo's drill runs on, from a checkout or from the installed package."""

from pathlib import Path
from typing import Final

from moneypath.errors import MoneypathError
from moneypath.stack.errors import FolderUnwritable
from moneypath.stack.folders import make_private, private_files
from moneypath.workflows.folders import DECLARATION

PACKAGED: Final = Path(__file__).with_name("project")
CHECKOUT: Final = Path(__file__).resolve().parents[2]


class ReferenceProjectMissing(MoneypathError):
    """The reference project came neither with a checkout nor with the installed package."""

    code = "reference_project_missing"


def provide(folder: Path, *, packaged: Path = PACKAGED, checkout: Path = CHECKOUT) -> Path:
    """Return the folder of the reference project, whatever folder the command was called in.

    The wheel brings the project's files. They are copied into `folder`: Python writes what it compiles beside
    load tests, and no run may change an installed package. In a checkout it is the checkout.

    Raises ReferenceProjectMissing and FolderUnwritable.
    """
    if (packaged / DECLARATION).is_file():
        _copy(packaged, folder)
        return folder
    if (checkout / DECLARATION).is_file():
        return checkout
    raise ReferenceProjectMissing(
        f"the reference project is missing: no {DECLARATION} in {packaged}",
        hint="Install moneypath-reference again, or name a project with --project.",
    )


def _copy(source: Path, folder: Path) -> None:
    """Copy the files alone: what Python compiled beside them depends on where they were."""
    files = [file for file in sorted(source.rglob("*")) if file.is_file() and file.suffix != ".pyc"]
    try:
        with private_files():
            make_private(folder)
            for file in files:
                copy = folder / file.relative_to(source)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(file.read_bytes())
    except OSError as error:
        raise FolderUnwritable(
            f"file not writable: {error.filename or folder} ({error.strerror})",
            hint="Set XDG_STATE_HOME to a folder that you own, on a disk that is not full or read-only.",
        ) from None
