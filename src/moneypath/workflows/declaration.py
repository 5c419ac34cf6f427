"""Load the declaration of a project, and check that what it links to is there."""

from pathlib import Path

from moneypath.dashboards.generate import board_ids
from moneypath.path.links import check_links
from moneypath.path.loader import FILE_NAME, load
from moneypath.path.model import MoneyPath

RUNBOOKS_FOLDER = "runbooks"


def load_declaration(project: Path) -> MoneyPath:
    """Return the money path that `project` declares.

    Raises DeclarationInvalid with every problem found, links to a runbook without a page and to a
    dashboard that is not generated included.
    """
    file = project / FILE_NAME
    path = load(file)
    runbooks = frozenset(page.stem for page in (project / RUNBOOKS_FOLDER).glob("*.md"))
    check_links(path, file, dashboards=board_ids(path), runbooks=runbooks)
    return path
