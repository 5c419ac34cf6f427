"""Read a declaration: YAML of limited size into a pydantic model, every problem with file, line and key.

The model is filled in pydantic's strict JSON mode: lists become tuples, and text becomes enums, decimals
and dates, but "5" never becomes 5. Give the models `extra="forbid"`. Raise `DeclarationIssues` from a
validator to report contradictions at their own lines. Contradictions are looked for only once every key
is well formed.
"""

import json
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from moneypath.path import yaml_document
from moneypath.path.explain import explain
from moneypath.path.problems import DeclarationInvalid, DeclarationIssue, DeclarationIssues, Problem

__all__ = [
    "MAX_BYTES",
    "DeclarationInvalid",
    "DeclarationIssue",
    "DeclarationIssues",
    "Problem",
    "load_yaml",
    "parse_yaml",
    "read_text",
]

MAX_BYTES = 1024 * 1024

M = TypeVar("M", bound=BaseModel)


def load_yaml(file: Path, model: type[M]) -> M:
    """Return the declaration in `file` as a `model`.

    Raises DeclarationInvalid with all problems found: an unreadable, empty, oversized (over 1 MiB)
    or wrongly encoded file, YAML syntax, unknown, missing or duplicate keys, wrong types and values.
    """
    return parse_yaml(read_text(file), model, file=file)


def parse_yaml(text: str, model: type[M], *, file: Path | str, first_line: int = 1) -> M:
    """Return the YAML in `text` as a `model`; `first_line` is the line of `file` at which `text` begins."""
    if len(text) > MAX_BYTES:
        raise DeclarationInvalid(file, [_too_large(first_line)])
    parsed = yaml_document.parse(text, first_line)
    if parsed.value is None and not parsed.problems:
        parsed.problems.append(Problem(first_line, "", "is empty", _keys(model)))
    elif not isinstance(parsed.value, dict) and not parsed.problems:
        what = "is not a mapping of keys to values"
        parsed.problems.append(Problem(parsed.line(()), "", what, _keys(model)))
    if not isinstance(parsed.value, dict):
        raise DeclarationInvalid(file, parsed.problems)
    try:
        result = model.model_validate_json(json.dumps(parsed.value), strict=True)
    except ValidationError as error:
        raise DeclarationInvalid(file, [*parsed.problems, *explain(error, model, parsed)]) from None
    if parsed.problems:
        raise DeclarationInvalid(file, parsed.problems)
    return result


def read_text(file: Path) -> str:
    """Return the UTF-8 text of `file`, at most 1 MiB; raise DeclarationInvalid otherwise."""
    if not file.exists():
        raise DeclarationInvalid(file, [Problem(1, "", "does not exist")])
    if not file.is_file():
        raise DeclarationInvalid(file, [Problem(1, "", "is not a regular file")])
    try:
        with file.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise DeclarationInvalid(file, [Problem(1, "", f"cannot be read: {error.strerror}")]) from error
    if len(content) > MAX_BYTES:
        raise DeclarationInvalid(file, [_too_large(1)])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        what = f"byte 0x{content[error.start]:02x} is not valid UTF-8, save the file as UTF-8"
        raise DeclarationInvalid(file, [Problem(line, "", what)]) from None


def _too_large(line: int) -> Problem:
    return Problem(line, "", "is too large", f"at most {MAX_BYTES} bytes")


def _keys(model: type[BaseModel]) -> str:
    return ", ".join(sorted(model.model_fields))
