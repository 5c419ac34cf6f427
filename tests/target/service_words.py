"""The words that only the reference service and its providers have, and where a folder says them."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

SOURCES: Final = Path(__file__).parents[2] / "src"
PLATFORM: Final = SOURCES / "moneypath"
ROUTES: Final = (SOURCES / "refpay" / "app", SOURCES / "acquirers")
SCOPES: Final = (SOURCES / "refpay", SOURCES / "acquirers")
# Every server has these, the platform's own ones too.
PROBES: Final = frozenset({"/healthz", "/readyz", "/metrics"})
# What an expression in a text stands for, when its value is not known.
UNKNOWN: Final = "{}"

Words = dict[str, re.Pattern[str]]


@cache
def service_words() -> Words:
    """Return each word with the pattern that finds it in lower-case text."""
    words = {name: re.compile(re.escape(name)) for name in names()}
    words |= {route: re.compile(rf"{re.escape(route)}(?![a-z0-9_-])") for route in routes()}
    words |= {scope: re.compile(rf"(?<![\w:]){re.escape(scope)}(?![\w-])") for scope in scopes()}
    return words


def names() -> set[str]:
    """Return the packages that are not the platform, in the singular, and the providers' dialects."""
    packages = {file.parent.name.removesuffix("s") for file in SOURCES.glob("*/__init__.py")}
    dialects = {file.stem for file in (SOURCES / "acquirers" / "dialects").glob("[!_]*.py")}
    return packages - {PLATFORM.name} | dialects


def routes() -> set[str]:
    """Return the fixed beginning of each path that the sources of service and providers declare."""
    found = set()
    for folder in ROUTES:
        for file in folder.rglob("*.py"):
            tree = ast.parse(file.read_text(encoding="utf-8"))
            for text in _texts(tree, _constant_names(tree)):
                if re.match(r"/[a-z]", text):
                    found |= set(_heads(text))
    return found - PROBES


def scopes() -> set[str]:
    """Return the values of each enumeration `Scope` of words."""
    found = set()
    for folder in SCOPES:
        for file in folder.rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                match node:
                    case ast.ClassDef(name="Scope", bases=[ast.Name(id="StrEnum")], body=body):
                        found |= {
                            part.value.value
                            for part in body
                            if isinstance(part, ast.Assign)
                            and isinstance(part.value, ast.Constant)
                            and isinstance(part.value.value, str)
                        }
    return found


def find_words(folder: Path, words: Words) -> set[tuple[str, str]]:
    """Return file and word for all that the files of a folder say, their names included."""
    found = set()
    for file in sorted(folder.rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts:
            name = file.relative_to(folder).as_posix()
            text = "\n".join((name, *_said(file))).lower()
            found |= {(name, word) for word, pattern in words.items() if pattern.search(text)}
    return found


def _said(file: Path) -> Iterator[str]:
    """Yield a file's text, and of Python its strings as Python joins them."""
    source = file.read_text(encoding="utf-8", errors="replace")
    yield source
    if file.suffix == ".py":
        yield from _texts(ast.parse(source), {})


def _heads(template: str) -> Iterator[str]:
    """Yield the fixed beginnings of a path: up to what is variable, with each choice that is listed."""
    fixed, variable, rest = template.partition("{")
    if not variable:
        yield fixed.rstrip("/")
        return
    listed = re.match(r"[a-z]+:([a-z|]+)\}", rest)
    if listed:
        yield from (f"{fixed}{choice}" for choice in listed[1].split("|"))
    elif fixed.count("/") > 2 or not fixed.endswith("/"):
        yield fixed.rstrip("/")
    elif fixed.strip("/"):
        raise AssertionError(f"{template} may be any path below {fixed}: list what it can be")


def _texts(tree: ast.AST, known: dict[str, str]) -> Iterator[str]:
    """Yield every string; what is put together from strings is one."""
    text = _joined(tree, known)
    if text is not None:
        yield text
        return
    for child in ast.iter_child_nodes(tree):
        yield from _texts(child, known)


def _joined(node: ast.AST, known: dict[str, str]) -> str | None:
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(_part(value, known) for value in values)
        case ast.BinOp(op=ast.Add(), left=left, right=right):
            parts = (_joined(left, known), _joined(right, known))
            return None if parts == (None, None) else "".join(part or UNKNOWN for part in parts)
    return None


def _part(node: ast.AST, known: dict[str, str]) -> str:
    if isinstance(node, ast.FormattedValue):
        node = node.value
    match node:
        case ast.Call(
            func=ast.Attribute(value=ast.Constant(value="|"), attr="join"), args=[ast.Name(id=name)]
        ):
            return known.get(name, UNKNOWN)
    text = _joined(node, known)
    return UNKNOWN if text is None else text


def _constant_names(tree: ast.Module) -> dict[str, str]:
    """Return the string keys of each table of a module, joined as a route lists them."""
    tables = {}
    for node in tree.body:
        match node:
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.Dict(keys=keys)):
                words = [
                    key.value for key in keys if isinstance(key, ast.Constant) and isinstance(key.value, str)
                ]
                tables[name] = "|".join(words)
    return tables
