"""Find the words of the project: its names, and the prose of documents, docstrings, comments and messages."""

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

CODE_FOLDERS = (
    "src",
    "proofs",
    "tools",
    "loadtests",
    "benchmarks",
    "examples",
)
DOCUMENT_FOLDERS = ("docs", "runbooks", ".github")
DATA_FOLDERS = (
    "alerts",
    "collector",
    "compose",
    "dashboards",
    "docs",
    "drills",
    "loadtests",
    "runbooks",
    ".github",
    "src",
)
_SQL = re.compile(r"\b(?:SELECT|INSERT|UPDATE|DELETE|CREATE|FROM|WHERE|JOIN|ALTER|GRANT|VALUES)\b")
_MESSAGE_WORDS = 3


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of prose or one name, and where it begins.

    `kind` is document, prose, message, identifier or key.
    """

    path: str
    line: int
    text: str
    kind: str

    def line_of(self, offset: int) -> int:
        """Return the line on which a character of the text stands."""
        return self.line + self.text.count("\n", 0, offset)


def documents(root: Path) -> Iterator[Text]:
    """Yield every Markdown file whole, and the Makefile with its help."""
    for file in [*root.glob("*.md"), *root.glob("Makefile"), *_files(root, DOCUMENT_FOLDERS, "*.md")]:
        yield Text(_name(root, file), 1, file.read_text(encoding="utf-8"), "document")


def yaml_files(root: Path) -> Iterator[Text]:
    """Yield every line of every YAML file, and its key apart."""
    names = ("*.yaml", "*.yml")
    files = [file for name in names for file in [*root.glob(name), *_files(root, DATA_FOLDERS, name)]]
    for file in files:
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            key = re.match(r"[\s-]*[\"']?([\w.-]+)[\"']?\s*:(?:\s|$)", line)
            if key:
                yield Text(_name(root, file), number, key[1], "key")
            yield Text(_name(root, file), number, line[key.end() :] if key else line, "prose")


def python_files(root: Path) -> Iterator[Text]:
    """Yield the names that each Python file defines, its docstrings, its comments and its messages."""
    for file in _files(root, CODE_FOLDERS, "*.py"):
        name, source = _name(root, file), file.read_text(encoding="utf-8")
        yield Text(name, 1, file.parent.name if file.stem == "__init__" else file.stem, "identifier")
        yield from _python_texts(name, source)


def _python_texts(name: str, source: str) -> Iterator[Text]:
    docstrings: set[int] = set()
    strings: StringSpans = {}
    for node in ast.walk(ast.parse(source)):  # breadth first: a docstring comes after what it describes
        if isinstance(node, _DOCUMENTED):
            docstrings.add(id(_docstring(node)))
        if isinstance(node, ast.JoinedStr):
            _add_span(strings, node)
        elif isinstance(node, ast.Constant):
            if isinstance(node.value, str | bytes):
                _add_span(strings, node)
            if id(node) in docstrings:
                yield Text(name, node.lineno, str(node.value), "prose")
            elif isinstance(node.value, str) and _is_message(node.value):
                yield Text(name, node.lineno, node.value, "message")
        elif isinstance(node, _DEFINING):
            for word in _defined(node):
                yield Text(name, getattr(node, "lineno", 1), word, "identifier")
    yield from _comments(name, source, strings)


def sql_files(root: Path) -> Iterator[Text]:
    """Yield the comments of the SQL scripts; names in a database stay as they are."""
    for file in _files(root, ("src",), "*.sql"):
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            if "--" in line:
                yield Text(_name(root, file), number, line.partition("--")[2], "prose")


def _files(root: Path, folders: Iterable[str], pattern: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((root / folder).rglob(pattern))


def _name(root: Path, file: Path) -> str:
    return file.relative_to(root).as_posix()


_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_DEFINING = (
    ast.ClassDef,
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.Name,
    ast.Attribute,
    ast.arg,
    ast.alias,
    ast.ExceptHandler,
    ast.MatchAs,
)


def _docstring(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> ast.expr | None:
    match node.body:
        case [ast.Expr(value=ast.Constant(value=str()) as docstring), *_]:
            return docstring
    return None


def _defined(node: ast.AST) -> Iterator[str]:
    """Yield the names that a node brings into being; a name of somebody else's library is only used."""
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()):
            yield name
        case ast.Attribute(attr=name, ctx=ast.Store()):
            yield name
        case ast.alias(asname=str(name)) | ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)):
            yield name


def _is_message(value: str) -> bool:
    return (
        len(re.findall(r"[A-Za-z]{2,}", value)) >= _MESSAGE_WORDS
        and " " in value.strip()
        and not _SQL.search(value)
    )


# By line: the columns that stand in a string, in bytes, as the syntax tree counts them.
StringSpans = dict[int, list[tuple[int, int]]]
_LINE_END = 2**31


def _add_span(strings: StringSpans, node: ast.Constant | ast.JoinedStr) -> None:
    last = node.end_lineno or node.lineno
    for line in range(node.lineno, last + 1):
        begin = node.col_offset if line == node.lineno else 0
        end = (node.end_col_offset or 0) if line == last else _LINE_END
        strings.setdefault(line, []).append((begin, end))


def _comments(name: str, source: str, strings: StringSpans) -> Iterator[Text]:
    """Yield what follows a `#` that stands in no string."""
    for number, line in enumerate(source.encode().split(b"\n"), 1):
        column = line.find(b"#")
        while column >= 0 and any(begin <= column < end for begin, end in strings.get(number, ())):
            column = line.find(b"#", column + 1)
        if column >= 0:
            yield Text(name, number, line[column + 1 :].decode(), "prose")
