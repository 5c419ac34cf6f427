"""The targets of a project: one file each in `targets/`, and the one that is the stack of its own."""

import json
from pathlib import Path
from typing import Final

from moneypath.errors import MoneypathError
from moneypath.path.source import load_yaml
from moneypath.stack.endpoints import Endpoints
from moneypath.target.document import TargetFile
from moneypath.target.exchange import Exchange
from moneypath.target.loader import flatten, load_target

FOLDER: Final = "targets"
# The target that a stack of its own is; its addresses and secrets are those of the run.
OWN_STACK: Final = "reference"


class TargetsClash(MoneypathError):
    """Two files of a project that are called the same."""

    code = "targets_clash"
    exit_code = 2


def load_documents(project: Path) -> tuple[TargetFile, ...]:
    """Return every target's file of the project, without values of its variables.

    Raises DeclarationInvalid, and TargetsClash when two have one name.
    """
    found: dict[str, Path] = {}
    documents: list[TargetFile] = []
    for file in sorted((project / FOLDER).glob("*.yaml")):
        document = load_yaml(file, TargetFile)
        if document.target in found:
            raise TargetsClash(
                f"{file}: target: {document.target} is the name of {found[document.target]} too.",
                hint="Give each target a name of its own.",
            )
        found[document.target] = file
        documents.append(document)
    return tuple(documents)


def known_actions(project: Path) -> frozenset[str]:
    """Return the operator actions that at least one target of the project has."""
    return frozenset(name for document in load_documents(project) for name in document.actions)


def exchange_with_stack(project: Path, endpoints: Endpoints) -> Exchange:
    """Return an exchange with a running stack, by the target's file of the project.

    Raises DeclarationInvalid, and VariableMissing when the file needs what a stack does not have.
    """
    known = flatten(json.loads(endpoints.to_json()))
    return Exchange.of(load_target(project / FOLDER / f"{OWN_STACK}.yaml", None, known))
