"""Parse YAML into plain values with the line of each, without YAML's surprises.

Only what a declaration needs is understood: mappings with text keys, lists, text, whole numbers,
decimals, true, false, null. `no`, `on`, `1:30` and dates stay text. Aliases and tags are refused, so a
small file cannot grow into a large value.
"""

import math
import re
from dataclasses import dataclass, field
from typing import TypeAlias

import yaml

from moneypath.path.problems import Location, Problem, key_text

MAX_DEPTH = 32
# A few seconds of reading; no declaration has a tenth of them.
MAX_NODES = 20_000
MAX_DIGITS = 18

Value: TypeAlias = "str | int | float | bool | list[Value] | dict[str, Value] | None"

_PREFIX = "tag:yaml.org,2002:"


class _Loader(yaml.SafeLoader):
    """Refuse aliases and deep nesting while the text is read, before the recursion grows."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  # PyYAML's own name and shape
    depth = 0
    nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]  # untyped upstream
            raise yaml.composer.ComposerError(
                None, None, "an alias is not allowed here, write the value out", event.start_mark
            )
        self.depth += 1
        self.nodes += 1
        if self.nodes > MAX_NODES:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]  # untyped upstream
            raise yaml.composer.ComposerError(None, None, f"more than {MAX_NODES} keys and values", mark)
        if self.depth > MAX_DEPTH:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]  # untyped upstream
            raise yaml.composer.ComposerError(None, None, f"nested deeper than {MAX_DEPTH} levels", mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


_Loader.add_implicit_resolver(_PREFIX + "bool", re.compile(r"^(?:true|false)$"), list("tf"))
_Loader.add_implicit_resolver(_PREFIX + "null", re.compile(r"^(?:null|~|)$"), ["n", "~", ""])
_Loader.add_implicit_resolver(_PREFIX + "int", re.compile(r"^[-+]?[0-9]+$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    _PREFIX + "float",
    re.compile(r"^[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)(?:[eE][-+]?[0-9]+)?$"),
    list("-+.0123456789"),
)


@dataclass(slots=True)
class ParsedDocument:
    """A parsed document: its value, the line of every location, and everything that was refused."""

    value: Value = None
    lines: dict[Location, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def line(self, location: Location) -> int:
        """Return the line of `location`, or of its nearest ancestor in the text."""
        while location and location not in self.lines:
            location = location[:-1]
        return self.lines.get(location, 1)


def parse(text: str, first_line: int) -> ParsedDocument:
    """Return the document in `text`; syntax errors and refused values are in `problems`."""
    document = ParsedDocument()
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + first_line
        code = ord(error.character) if isinstance(error.character, str) else error.character
        document.problems.append(Problem(line, "", f"the character U+{code:04X} is not allowed"))
        return document
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = (mark.line if mark else 0) + first_line
        what = ", ".join(part for part in (error.context, error.problem) if part)
        document.problems.append(Problem(line, "", f"not valid YAML: {what}"))
        return document
    document.lines[()] = first_line if node is None else node.start_mark.line + first_line
    if node is not None:
        document.value = _value(node, (), document, first_line)
    return document


def _value(node: yaml.Node, at: Location, document: ParsedDocument, first_line: int) -> Value:
    line = node.start_mark.line + first_line
    document.lines.setdefault(at, line)
    if isinstance(node, yaml.MappingNode) and node.tag == _PREFIX + "map":
        return _mapping(node, at, document, first_line)
    if isinstance(node, yaml.SequenceNode) and node.tag == _PREFIX + "seq":
        return [_value(item, (*at, index), document, first_line) for index, item in enumerate(node.value)]
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node, at, document, line)
    _refuse(document, line, at, f"the tag {node.tag.removeprefix(_PREFIX)} is not allowed")
    return None


def _mapping(node: yaml.MappingNode, at: Location, document: ParsedDocument, first_line: int) -> Value:
    result: dict[str, Value] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + first_line
        if not isinstance(key_node, yaml.ScalarNode) or key_node.tag != _PREFIX + "str":
            shown = key_node.value if isinstance(key_node, yaml.ScalarNode) else "a list or mapping"
            _refuse(document, line, at, f"the key {shown} is not text, put it in quotes")
            continue
        key = str(key_node.value)
        here = (*at, key)
        if key in result:
            _refuse(document, line, here, f"duplicate key, first used in line {document.lines[here]}")
            continue
        document.lines[here] = line
        result[key] = _value(value_node, here, document, first_line)
    return result


def _scalar(node: yaml.ScalarNode, at: Location, document: ParsedDocument, line: int) -> Value:
    text = str(node.value)
    kind = node.tag.removeprefix(_PREFIX)
    if kind == "str":
        return text
    if kind == "null":
        return None
    if kind == "bool" and text in {"true", "false"}:
        return text == "true"
    try:
        if kind == "int" and len(text.lstrip("+-")) <= MAX_DIGITS:
            return int(text)
        if kind == "float" and math.isfinite(number := float(text)):
            return number
    except ValueError:
        pass
    if kind in {"int", "float", "bool"}:
        what = f"{text[:40]} is out of range or not a number"
        _refuse(document, line, at, what, f"up to {MAX_DIGITS} digits")
        return None

    _refuse(document, line, at, f"the tag {node.tag.removeprefix(_PREFIX)} is not allowed")
    return None


def _refuse(document: ParsedDocument, line: int, at: Location, what: str, allowed: str = "") -> None:
    document.problems.append(Problem(line, key_text(at), what, allowed))
