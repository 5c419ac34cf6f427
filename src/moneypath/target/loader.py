"""Load the file of a target, give its variables values, and find the files that it names."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from moneypath.path.source import load_yaml
from moneypath.target.document import TargetFile
from moneypath.target.errors import NotDrillable, VariableMissing
from moneypath.target.placeholders import set_variables

VARIABLES_BYTES_MAX: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class Target:
    """A target whose variables have values; the files that it names are relative to `folder`."""

    file: Path
    document: TargetFile

    @property
    def folder(self) -> Path:
        """Return the folder of the target's file."""
        return self.file.resolve().parent

    @property
    def values(self) -> dict[str, str]:
        """Return the values of its variables."""
        return {name: value for name, value in self.document.variables.items() if value is not None}

    def path(self, name: str) -> Path:
        """Return the file that the target's file calls `name`."""
        return self.folder / Path(name).expanduser()

    def require_drillable(self, environment: str) -> None:
        """Raise NotDrillable unless the target may be broken, and `environment` is where it runs."""
        document = self.document
        if not document.drillable:
            raise NotDrillable(
                f"{self.file}: {document.target} is not drillable, so nothing in it is broken.",
                hint="Write `drillable: true` into the file of an environment that may be broken.",
            )
        self.require_environment(environment)

    def require_environment(self, environment: str) -> None:
        """Raise NotDrillable unless `environment` is where the target runs."""
        document = self.document
        if environment != document.environment:
            raise NotDrillable(
                f"{self.file}: {document.target} runs in {document.environment}, not in {environment}.",
                hint=f"Name the environment that you mean to break: --environment {document.environment}.",
            )


def load_target(
    file: Path, given: Mapping[str, str] | None = None, known: Mapping[str, str] | None = None
) -> Target:
    """Return the target of `file`; a variable has the value `given`, the one `known`, or the file's.

    Of what is `known`, such as all addresses of a stack, only what the file declares is taken. Raises
    DeclarationInvalid, and VariableMissing for a variable without a value, or given without a declaration.
    """
    document, given, known = load_yaml(file, TargetFile), given or {}, known or {}
    names = ", ".join(document.variables) or "none"
    for name in sorted(set(given) - set(document.variables)):
        raise VariableMissing(f"{file}: there is no variable {name}; allowed: {names}.")
    values = {name: given.get(name, known.get(name, value)) for name, value in document.variables.items()}
    missing = [name for name, value in values.items() if value is None]
    if missing:
        raise VariableMissing(
            f"{file}: without a value: {', '.join(missing)}.",
            hint=f"Give one, as in --set {missing[0]}=value, or a JSON file of them by --variables.",
        )
    plain: Any = document.model_dump(mode="json", by_alias=True)
    texts = {name: value for name, value in values.items() if value is not None}
    filled: Any = set_variables({**plain, "variables": {}}, texts)
    try:
        return Target(file, TargetFile.model_validate_json(json.dumps(filled | {"variables": texts})))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise VariableMissing(
            f"{file}: with its variables {where} is wrong: {first['msg']}.", hint="Correct the values given."
        ) from None


def read_variables(file: Path) -> dict[str, str]:
    """Return the variables in a JSON file of names and texts; what is not a text is left out."""
    try:
        with file.open("rb") as stream:
            content = json.loads(stream.read(VARIABLES_BYTES_MAX))
    except OSError as error:
        raise VariableMissing(f"{file}: cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError):
        raise VariableMissing(f"{file}: is not JSON of at most {VARIABLES_BYTES_MAX} bytes.") from None
    if not isinstance(content, dict):
        raise VariableMissing(f"{file}: is not a JSON object of names and texts.")
    return flatten(content)


def flatten(content: Mapping[str, object]) -> dict[str, str]:
    """Return the texts of a mapping; those of a mapping within it are called `outer_inner`."""
    found: dict[str, str] = {}
    for name, value in content.items():
        if isinstance(value, str):
            found[name] = value
        elif isinstance(value, dict):
            found |= {f"{name}_{inner}": text for inner, text in value.items() if isinstance(text, str)}
    return found
