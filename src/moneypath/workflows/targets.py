"""The targets of a project: one file each in `targets/`, and the one that is the stack of its own."""

import json
from pathlib import Path
from typing import Final

from moneypath.errors import MoneypathError
from moneypath.path.source import load_yaml
from moneypath.stack.endpoints import Endpoints
from moneypath.target.document import TargetFile
from moneypath.target.exchange import Exchange
from moneypath.target.loader import Target, flatten, load_target

FOLDER: Final = "targets"


class TargetsClash(MoneypathError):
    """Two files of a project that are called the same."""

    code = "targets_clash"
    exit_code = 2


class TargetUnknown(MoneypathError):
    """A stack that is no target of the project."""

    code = "target_unknown"
    exit_code = 2


def known_actions(project: Path) -> frozenset[str]:
    """Return the operator actions that at least one target of the project has.

    Raises DeclarationInvalid, and TargetsClash when two have one name.
    """
    return frozenset(name for _, document in _documents(project) for name in document.actions)


def known_faults(project: Path) -> frozenset[str]:
    """Return the faults that at least one target of the project has, as `family.kind`.

    Raises DeclarationInvalid, and TargetsClash when two have one name.
    """
    return frozenset(name for _, document in _documents(project) for name in document.fault_names)


def exchange_with_stack(project: Path, endpoints: Endpoints) -> Exchange:
    """Return an exchange with a running stack, by the file of the target that it is.

    Its variables get their values from the stack's addresses. Raises TargetUnknown, DeclarationInvalid,
    and VariableMissing when the file needs what the stack does not have.
    """
    found = {document.target: file for file, document in _documents(project)}
    if endpoints.target not in found:
        known = ", ".join(sorted(found)) or "none"
        raise TargetUnknown(
            f"{project / FOLDER}: no file of the target {endpoints.target}; there are: {known}.",
            hint="Write one: docs/guides/targets.md says how.",
        )
    return Exchange.of(load_target(found[endpoints.target], None, flatten(json.loads(endpoints.to_json()))))


def target_with_witnesses(project: Path, endpoints: Endpoints) -> Target | None:
    """Return the target that a stack is if its file names witnesses; otherwise we know its books.

    Raises what `exchange_with_stack` raises.
    """
    target = exchange_with_stack(project, endpoints).target
    return None if target.document.witnesses is None else target


def _documents(project: Path) -> list[tuple[Path, TargetFile]]:
    """Return every target's file of the project, without values of its variables."""
    found: dict[str, Path] = {}
    documents = []
    for file in sorted((project / FOLDER).glob("*.yaml")):
        document = load_yaml(file, TargetFile)
        if document.target in found:
            raise TargetsClash(
                f"{file}: target: {document.target} is the name of {found[document.target]} too.",
                hint="Give each target a name of its own.",
            )
        found[document.target] = file
        documents.append((file, document))
    return documents
