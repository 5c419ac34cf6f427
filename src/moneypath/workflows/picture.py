"""Draw the money path as SVG or Mermaid."""

from enum import StrEnum
from pathlib import Path

from moneypath.errors import MoneypathError
from moneypath.path.diagram.mermaid import to_mermaid
from moneypath.path.diagram.model import derive
from moneypath.path.diagram.svg import to_svg
from moneypath.path.model import MoneyPath

# In the folder of documents that the declaration names.
SVG_FILE = "images/money-path.svg"
MERMAID_FILE = "money-path.mmd"


class PictureFormat(StrEnum):
    """The format of the picture."""

    SVG = "svg"
    MERMAID = "mermaid"


class PictureNotWritten(MoneypathError):
    """The file for the picture cannot be written."""

    code = "picture_not_written"


def draw(path: MoneyPath, form: PictureFormat) -> str:
    """Return the picture of `path`; the same declaration always gives the same text."""
    diagram = derive(path)
    return to_svg(diagram) if form is PictureFormat.SVG else to_mermaid(diagram)


def pictures(path: MoneyPath) -> dict[str, str]:
    """Return the committed pictures: file relative to the project, and content."""
    folder = path.outputs.docs
    return {
        f"{folder}/{SVG_FILE}": draw(path, PictureFormat.SVG),
        f"{folder}/{MERMAID_FILE}": draw(path, PictureFormat.MERMAID),
    }


def save(content: str, file: Path) -> None:
    """Write `content` to `file`; raises PictureNotWritten when that cannot be done."""
    try:
        file.write_text(content, encoding="utf-8", newline="\n")
    except OSError as error:
        raise PictureNotWritten(
            f"the picture cannot be written to {file}: {error.strerror}",
            hint="Name a file in a folder that exists and that you may write to.",
        ) from None
