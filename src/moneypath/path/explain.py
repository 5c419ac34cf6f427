"""Turn pydantic's validation errors into problems with line, key and allowed values."""

import json
import re
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from moneypath.path.problems import DeclarationIssues, Location, Problem, key_text, suggest
from moneypath.path.yaml_document import ParsedDocument

_SHOWN_CHARACTERS = 60

Models: TypeAlias = list[type[BaseModel]]


def explain(error: ValidationError, model: type[BaseModel], document: ParsedDocument) -> list[Problem]:
    """Return one problem for each error of `error`, at the line of its key."""
    problems: list[Problem] = []
    refused = {problem.key for problem in document.problems}
    details = error.errors(include_url=False)
    for detail in details:
        if detail["type"] == "too_short" and detail["input"] and _has_inner(detail, details):
            continue  # its items were refused one by one, so pydantic counts none
        raised = detail.get("ctx", {}).get("error")
        if isinstance(raised, DeclarationIssues):
            base, _ = _resolve(detail["loc"], model, document)
            for issue in raised.issues:
                at = (*base, *issue.location)
                problems.append(Problem(document.line(at), key_text(at), issue.what, issue.allowed))
        elif detail["type"] == "extra_forbidden":
            problems += _unknown_key(detail, model, document, refused)
        elif not (detail["type"] == "missing" and _is_renamed(detail, model, document)):
            problems.append(_problem(detail, model, document))
    return [problem for problem in dict.fromkeys(problems) if problem.key not in refused]


def _unknown_key(
    detail: ErrorDetails, model: type[BaseModel], document: ParsedDocument, refused: set[str]
) -> Iterator[Problem]:
    """Yield that a key is unknown, or its new name if it was renamed.

    The name stands in quotes before a verb: `extra_key: ...` would read as a secret and be masked.
    """
    parent, owners = _resolve(detail["loc"][:-1], model, document)
    name = str(detail["loc"][-1])
    at = (*parent, name)
    if key_text(at) in refused:
        return
    names = sorted({_name(key, info) for owner in owners for key, info in owner.model_fields.items()})
    now = next((renamed[name] for renamed in map(renamed_keys, owners) if name in renamed), "")
    if now:
        yield Problem(document.line(at), key_text(parent), f'"{name}" is called "{now}" now', now)
    else:
        what = f'"{name}" is an unknown key{suggest(name, names)}'
        yield Problem(document.line(at), key_text(parent), what, ", ".join(names))


def renamed_keys(model: type[BaseModel]) -> Mapping[str, str]:
    """Return the `RENAMED_KEYS` of `model`: the new name of each old key."""
    renamed: Mapping[str, str] = getattr(model, "RENAMED_KEYS", {})
    return renamed


def _is_renamed(detail: ErrorDetails, model: type[BaseModel], document: ParsedDocument) -> bool:
    """Tell whether a missing key is in the text under its old name, which is refused by itself."""
    parent, owners = _resolve(detail["loc"][:-1], model, document)
    return any(
        now == detail["loc"][-1] and (*parent, old) in document.lines
        for owner in owners
        for old, now in renamed_keys(owner).items()
    )


def _has_inner(detail: ErrorDetails, details: list[ErrorDetails]) -> bool:
    depth = len(detail["loc"])
    return any(len(other["loc"]) > depth and other["loc"][:depth] == detail["loc"] for other in details)


def _problem(detail: ErrorDetails, model: type[BaseModel], document: ParsedDocument) -> Problem:
    loc = detail["loc"]
    kind = detail["type"]
    if kind == "missing":
        parent, owners = _resolve(loc[:-1], model, document)
        name = str(loc[-1])
        at = (*parent, name)
        return Problem(document.line(parent), key_text(at), "missing key", _description(owners, name))
    if kind in {"union_tag_invalid", "union_tag_not_found"}:
        loc = (*loc, str(detail["ctx"]["discriminator"]).strip("'"))
    at, _ = _resolve(loc, model, document)
    value = detail["ctx"]["tag"] if kind == "union_tag_invalid" else detail["input"]
    what = f"{_shown(value)}: {_sentence(detail)}"
    _, owners = _resolve(loc[:-1], model, document)
    allowed, hint = _expected(detail)
    allowed = allowed or (_description(owners, str(loc[-1])) if loc else "")
    return Problem(document.line(at), key_text(at), what + hint, allowed)


def _sentence(detail: ErrorDetails) -> str:
    if detail["type"] in {"enum", "literal_error", "union_tag_invalid"}:
        return "is not an allowed value"
    if detail["type"] == "string_pattern_mismatch":
        return f"does not match {detail.get('ctx', {}).get('pattern')}"
    message = detail["msg"].removeprefix("Value error, ")
    return message.replace("Input should", "should")


def _expected(detail: ErrorDetails) -> tuple[str, str]:
    ctx = detail.get("ctx", {})
    expected = ctx.get("expected") or ctx.get("expected_tags")
    if not isinstance(expected, str):
        return "", ""
    words = re.findall(r"'([^']*)'", expected)
    if not words:
        return expected, ""
    given = ctx.get("tag", detail["input"])
    return ", ".join(words), suggest(str(given), words)


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


def _resolve(
    loc: Iterable[str | int], model: type[BaseModel], document: ParsedDocument
) -> tuple[Location, Models]:
    """Return the location of `loc` in the text, and the models that may stand there.

    pydantic puts the names of union members between the keys. They are not in the text; they only narrow
    the models down.
    """
    at: Location = ()
    kinds: list[Any] = [model]
    for part in loc:
        if (*at, part) in document.lines:
            at = (*at, part)
            kinds = [inner for kind in kinds for inner in _inside(kind, part)]
        else:
            narrowed = [kind for kind in kinds if _answers_to(kind, str(part))]
            kinds = narrowed or kinds
    return at, [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]


def _inside(kind: Any, part: str | int) -> Iterator[Any]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        for name, info in kind.model_fields.items():
            if part in {name, _name(name, info)}:
                yield from _flat(info.annotation)
        return
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in {list, tuple, set, frozenset} and args:
        for arg in args:
            yield from _flat(arg)
    elif origin is dict or (isinstance(origin, type) and issubclass(origin, dict)):
        yield from _flat(args[1])
    elif args:
        yield from _flat(args[-1])


def _flat(annotation: Any) -> Iterator[Any]:
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        yield from _flat(typing.get_args(annotation)[0])
    elif origin in {typing.Union, types.UnionType}:
        for arg in typing.get_args(annotation):
            yield from _flat(arg)
    elif annotation is not Ellipsis and annotation is not None:
        yield annotation


def _answers_to(kind: Any, tag: str) -> bool:
    if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
        return False
    literals = (typing.get_args(info.annotation) for info in kind.model_fields.values())
    return kind.__name__ == tag or any(tag in [str(value) for value in values] for values in literals)


def _description(owners: list[type[BaseModel]], name: str) -> str:
    for owner in owners:
        for field_name, info in owner.model_fields.items():
            if name in {field_name, _name(field_name, info)} and info.description:
                return info.description
    return ""


def _name(name: str, info: FieldInfo) -> str:
    return info.alias or name
