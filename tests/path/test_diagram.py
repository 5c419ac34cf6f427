"""The picture of the money path: nothing overlaps, nothing is missing, titles are only text."""

import copy
import re
import xml.etree.ElementTree as ET
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from moneypath.path.diagram.layers import arrange
from moneypath.path.diagram.measure import text_width, wrap
from moneypath.path.diagram.mermaid import escape, to_mermaid
from moneypath.path.diagram.model import CONTROL_NAMES, Diagram, derive, printable
from moneypath.path.diagram.svg import to_svg
from moneypath.path.loader import load
from moneypath.path.model import MoneyPath
from moneypath.path.source import parse_yaml

FILE = Path(__file__).parents[2] / "moneypath.yaml"
SVG = "{http://www.w3.org/2000/svg}"
KINDS = [kind.value for kind in CONTROL_NAMES]
HOSTILE = (
    "<script>alert('1')</script>",
    "quote \" and ' and ` and \\",
    "]]> --> %% end ;;; #quot; &amp;",
    "brackets [a] (b) <c> |d| /e/",
    "style:#60;x; classDef:::y",
    "Übermäßig große Gebühr für Höhlenführer €",
    "bell\x07 turned\u202e back\ttabbed\u2028line",
    "Donaudampfschifffahrtsgesellschaftskapitänswitwenrentenauszahlungsstelle",
    "支払いの承認と照合 🏦🏦🏦",
    "W" * 100,
)


@cache
def _base() -> Any:
    document = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    # What is not drawn would only make each of many examples slower to read.
    return {**document, "slos": document["slos"][:1], "checks": document["checks"][:1], "guards": []}


def _picture(document: Any) -> Diagram:
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=False)
    return derive(parse_yaml(text, MoneyPath, file="moneypath.yaml"))


def _declaration(
    moves: list[list[str]], titles: list[str], controls: int = 1, providers: int = 2, uses: int = 0b11
) -> Any:
    """Return a declaration with a stage for each list of moves, and titles in turn."""
    document = copy.deepcopy(_base())
    count = 0

    def title() -> str:
        nonlocal count
        count += 1
        return titles[count % len(titles)]

    document["name"] = title()
    document["stages"] = [
        {
            "id": f"s{index}",
            "title": title(),
            "owner_role": "eng",
            "uses_providers": bool(uses >> index & 1),
            "leads_to": targets,
            "controls": [
                {
                    "id": f"control-{index}-{number}",
                    "title": title(),
                    "kind": KINDS[(index + number) % len(KINDS)],
                    "owner_role": "compliance",
                }
                for number in range(controls)
            ],
        }
        for index, targets in enumerate(moves)
    ]
    first = document["providers"][0]
    document["providers"] = [
        {**copy.deepcopy(first), "id": f"p{index}", "title": title(), "licence": title()}
        for index in range(providers)
    ]
    fee = document["costs"]["provider_fees"][0]
    document["costs"]["provider_fees"] = [
        {**copy.deepcopy(fee), "provider": f"p{index}"} for index in range(providers)
    ]
    document["roles"]["compliance"]["title"] = title()
    for key in ("targets", "slos", "checks"):
        for part in document[key]:
            part["stage"] = f"s{len(moves) - 1}"
    document["slos"][0]["title"] = title()
    return document


@st.composite
def declarations(draw: st.DrawFn) -> Any:
    """Any shape of up to 12 stages, cycles included, with long and hostile titles."""
    count = draw(st.integers(1, 12))
    names = [f"s{index}" for index in range(count)]
    moves = []
    for name in names:
        others = [other for other in names if other != name]
        targets = st.lists(st.sampled_from(others), unique=True, max_size=3) if others else st.just([])
        moves.append(draw(targets))
    words = st.text(st.characters(exclude_characters="{}\n", codec="utf-8"), min_size=1, max_size=100)
    titles = draw(st.lists(st.one_of(st.sampled_from(HOSTILE), words), min_size=1, max_size=9))
    return _declaration(
        moves, titles, draw(st.integers(0, 4)), draw(st.integers(1, 6)), draw(st.integers(0, 4095))
    )


CHAIN = [[f"s{index + 1}"] for index in range(5)] + [[]]
BRANCHES = [["s1", "s2", "s5"], ["s3"], ["s3", "s4"], ["s5"], ["s5"], []]
CYCLE = [["s1"], ["s2"], ["s0", "s1"]]
APART: list[list[str]] = [[], [], []]
SHAPES = {"one": [[]], "chain": CHAIN, "branches": BRANCHES, "cycle": CYCLE, "apart": APART}


def _squeezed(text: str) -> str:
    return re.sub(r"\s", "", text)


def _words(element: ET.Element) -> str:
    """Return the text of an element itself, without that of the groups in it, without blanks."""
    return _squeezed("".join(text.text or "" for text in element.findall(f"{SVG}text")))


def _frame(element: ET.Element) -> tuple[float, float, float, float]:
    x, y, width, height = (float(element.attrib[key]) for key in ("x", "y", "width", "height"))
    return x, y, x + width, y + height


def _groups(root: ET.Element, kind: str) -> dict[str, ET.Element]:
    found = [group for group in root.iter(f"{SVG}g") if group.attrib["class"] == kind]
    groups = {group.attrib["id"].removeprefix(f"{kind}-"): group for group in found}
    assert len(groups) == len(found)
    return groups


def _rect(group: ET.Element, role: str) -> tuple[float, float, float, float]:
    return _frame(next(rect for rect in group.findall(f"{SVG}rect") if rect.attrib["class"] == role))


def _within(inner: tuple[float, ...], outer: tuple[float, ...]) -> bool:
    return inner[0] >= outer[0] and inner[1] >= outer[1] and inner[2] <= outer[2] and inner[3] <= outer[3]


def _extent(text: ET.Element) -> tuple[float, float, float, float]:
    size = float(text.attrib["font-size"])
    x, base = float(text.attrib["x"]), float(text.attrib["y"])
    width = text_width(text.text or "", size, bold="font-weight" in text.attrib)
    return x, base - 0.8 * size, x + width, base + 0.25 * size


def _assert_sound(root: ET.Element) -> None:
    """Assert that boxes keep apart, and that each text stands inside its box and over no other text."""
    card = _frame(root.findall(f"{SVG}rect")[0])
    boxes = [*_groups(root, "stage").values(), *_groups(root, "provider").values()]
    frames = [_rect(box, "box") for box in boxes]
    for one, other in combinations(frames, 2):
        assert one[2] < other[0] or other[2] < one[0] or one[3] < other[1] or other[3] < one[1], (one, other)
    assert all(_within(frame, card) for frame in frames)
    for group in (*boxes, *_groups(root, "control").values()):
        frame = _rect(group, "band" if group.attrib["class"] == "control" else "box")
        for text in group.iter(f"{SVG}text"):
            assert _within(_extent(text), frame), text.text
    texts = [_extent(text) for text in root.iter(f"{SVG}text")]
    assert all(_within(extent, card) for extent in texts)
    for one, other in combinations(texts, 2):
        assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]


def _assert_complete(root: ET.Element, diagram: Diagram) -> None:
    """Assert that everything declared stands in the group it belongs to, and in no other."""
    stages, providers = _groups(root, "stage"), _groups(root, "provider")
    assert set(stages) == {stage.id for stage in diagram.stages}
    assert set(providers) == {provider.id for provider in diagram.providers}
    for stage in diagram.stages:
        assert _words(stages[stage.id]) == _squeezed(stage.title + stage.owner)
        controls, objectives = _groups(stages[stage.id], "control"), _groups(stages[stage.id], "objective")
        assert set(controls) == {control.id for control in stage.controls}
        for control in stage.controls:
            assert _words(controls[control.id]) == _squeezed(
                CONTROL_NAMES[control.kind] + control.title + control.owner
            )
        assert set(objectives) == {objective.id for objective in stage.objectives}
        for each in stage.objectives:
            assert _words(objectives[each.id]).startswith(_squeezed(each.target + each.title))
    for provider in diagram.providers:
        words = _words(providers[provider.id])
        assert words.startswith(_squeezed(provider.title))
        assert _squeezed(provider.licence) in words
        assert words.endswith(_squeezed(provider.data_residency))


def _curves(root: ET.Element, marker: str) -> list[str]:
    return [
        path.attrib["d"]
        for path in root.findall(f"{SVG}path")
        if path.attrib.get("marker-end") == f"url(#{marker})"
    ]


def _inside(box: tuple[float, ...], x: float, y: float) -> bool:
    return box[0] < x < box[2] and box[1] < y < box[3]


def _points(steps: str) -> list[tuple[float, float]]:
    """Return points along an SVG path of M, H, V and C steps, 50 a step."""
    points: list[tuple[float, float]] = []
    for letter, rest in re.findall(r"([MHVC])([^MHVC]*)", steps):
        numbers = [float(number) for number in rest.split()]
        if letter == "M":
            points.append((numbers[0], numbers[1]))
            continue
        x, y = points[-1]
        if letter in "HV":
            end = (numbers[0], y) if letter == "H" else (x, numbers[0])
            numbers = [x, y, *end, *end]
        ax, ay, bx, by, cx, cy = numbers
        for step in range(1, 51):
            t = step / 50
            u = 1 - t
            points.append(
                (
                    u**3 * x + 3 * u * u * t * ax + 3 * u * t * t * bx + t**3 * cx,
                    u**3 * y + 3 * u * u * t * ay + 3 * u * t * t * by + t**3 * cy,
                )
            )
    return points


def _assert_lines(root: ET.Element, diagram: Diagram) -> None:
    """Assert that there is a line for each move and each dependency, and that none runs through a box."""
    stages = {name: _rect(group, "box") for name, group in _groups(root, "stage").items()}
    moves, uses = _curves(root, "money"), _curves(root, "use")
    joined = sorted((_at(stages, _points(move)[0], 2), _at(stages, _points(move)[-1], 0)) for move in moves)
    assert joined == sorted(diagram.moves)
    assert len(uses) == sum(stage.uses_providers for stage in diagram.stages)
    card = _frame(root.findall(f"{SVG}rect")[0])
    boxes = [*stages.values(), *(_rect(group, "box") for group in _groups(root, "provider").values())]
    for steps in (*moves, *uses):
        for x, y in _points(steps):
            assert card[0] < x < card[2]
            assert card[1] < y < card[3]
            assert not any(_inside(box, x, y) for box in boxes), steps


def _at(stages: dict[str, tuple[float, float, float, float]], point: tuple[float, float], side: int) -> str:
    """Return the stage whose left (0) or right (2) edge the point touches, an arrow head's length away."""
    return next(
        name
        for name, frame in stages.items()
        if abs(frame[side] - point[0]) <= 9 and frame[1] < point[1] < frame[3]
    )


@settings(max_examples=60)
@given(declarations())
@pytest.mark.heavy
def test_any_declaration_is_drawn_whole_and_without_overlaps(document: Any) -> None:
    """Boxes keep apart, text keeps to its box, lines keep off boxes, and all that is declared is there."""
    diagram = _picture(document)
    text = to_svg(diagram)
    root = ET.fromstring(text)  # noqa: S314  # our own output
    _assert_sound(root)
    _assert_complete(root, diagram)
    _assert_lines(root, diagram)
    assert to_svg(_picture(document)) == text


@pytest.mark.parametrize("moves", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("title", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_title_is_only_text(moves: list[list[str]], title: str) -> None:
    """No title opens an element, a comment, a bracket or a new line in either format."""
    diagram = _picture(_declaration(moves, [title]))
    root = ET.fromstring(to_svg(diagram))  # noqa: S314  # our own output
    tags = {element.tag.removeprefix(SVG) for element in root.iter()}
    assert tags <= {"svg", "title", "desc", "defs", "marker", "path", "rect", "circle", "g", "text"}
    _assert_sound(root)
    _assert_complete(root, diagram)
    _assert_mermaid(to_mermaid(diagram), diagram)


LINE = re.compile(
    r"""
    \ *(?:
      (?:subgraph\ )?[a-z]\w*(?:\["[^"\n]*"\]|\{\{"[^"\n]*"\}\})
      | [a-z]\w*\ (?:---|==>|-\.\ uses\ \.->)\ [a-z]\w*
      | end | flowchart\ LR | (?:accTitle|accDescr):\ [\w ,]+ | %%.*
      | classDef\ [a-z]+\ [\w:\#,-]+ | class\ [\w,]+\ [a-z]+
    )""",
    re.X,
)


def _decoded(label: str) -> str:
    return re.sub(r"#(\d+);", lambda match: chr(int(match[1])), label)


def _assert_mermaid(text: str, diagram: Diagram) -> None:
    """Assert that each line is of a known form, each label free of syntax, and nothing is missing."""
    for line in text.splitlines():
        assert LINE.fullmatch(line), line
    labels = dict(re.findall(r'^ *(?:subgraph )?(\w+)(?:\[|\{\{)"(.*)"(?:\]|\}\})$', text, re.M))
    for label in labels.values():
        bare = re.sub(r"<br/>|</?b>|#\d+;", "", label)
        assert not set(bare) & set("<>\"'`[](){}|#;&:\\*_~"), label
    parts = {name: _decoded(label) for name, label in labels.items()}
    controls = {control.id: control for stage in diagram.stages for control in stage.controls}
    assert len(parts) == 2 + len(diagram.stages) + len(diagram.providers) + len(controls)
    for stage in diagram.stages:
        shown = parts[f"stage_{stage.id}"]
        assert f"<b>{stage.title}</b><br/>owner: {stage.owner}" in shown
        assert shown.count("<b>") - 1 == len(stage.objectives) + stage.title.count("<b>")
        for objective in stage.objectives:
            assert objective.target in shown
            assert objective.title in shown
        for control in stage.controls:
            name = f"control_{control.id.replace('-', '_')}"
            assert (
                parts[name] == f"<b>{CONTROL_NAMES[control.kind]}</b><br/>{control.title}<br/>{control.owner}"
            )
            assert f"    {name} --- stage_{stage.id}\n" in text
        assert (f"  stage_{stage.id} -. uses .-> providers\n" in text) is stage.uses_providers
    for provider in diagram.providers:
        for words in (provider.title, provider.licence, provider.data_residency):
            assert words in parts[f"provider_{provider.id}"]
    assert re.findall(r"stage_(\w+) ==> stage_(\w+)", text) == list(diagram.moves)


def test_the_picture_of_the_repository_shows_what_is_declared() -> None:
    """Owners, objectives, controls and providers of moneypath.yaml stand in both pictures."""
    diagram = derive(load(FILE))
    root = ET.fromstring(to_svg(diagram))  # noqa: S314  # our own output
    _assert_sound(root)
    _assert_complete(root, diagram)
    _assert_lines(root, diagram)
    _assert_mermaid(to_mermaid(diagram), diagram)
    assert diagram.stages[0].objectives[0].target == "99.9 % / 30 d"
    assert diagram.stages[0].owner == "Payments engineering on call"
    assert {control.kind.value for stage in diagram.stages for control in stage.controls} == set(KINDS)


def test_the_picture_can_be_read_aloud_and_scaled() -> None:
    """A title and a description are named by the root, and the view box is the size."""
    root = ET.fromstring(to_svg(derive(load(FILE))))  # noqa: S314  # our own output
    named = [root.find(f"{SVG}{name}") for name in root.attrib["aria-labelledby"].split()]
    assert [element is not None and bool(element.text) for element in named] == [True, True]
    assert root.attrib["role"] == "img"
    assert root.attrib["viewBox"] == f"0 0 {root.attrib['width']} {root.attrib['height']}"
    description = root.findtext(f"{SVG}desc") or ""
    assert "Money moves from Authorization to Capture." in description


def test_a_cycle_is_cut_where_its_way_comes_back() -> None:
    """Columns follow the money; the move back is drawn as a return."""
    layers = arrange(["a", "b", "c"], [("a", "b"), ("b", "c"), ("c", "a")])
    assert [[node.name for node in column] for column in layers.columns] == [["a"], ["b"], ["c"]]
    assert layers.back_edges == (("c", "a"),)


def test_a_move_past_a_column_bends_in_it() -> None:
    """A long move has a node of its own in each column between, so that it runs round the boxes there."""
    layers = arrange(["a", "b", "c"], [("a", "b"), ("b", "c"), ("a", "c")])
    assert [len(column) for column in layers.columns] == [1, 2, 1]
    assert layers.back_edges == ()


def test_lines_keep_to_their_width_and_lose_nothing() -> None:
    """Words stay whole where they can, and longer ones are broken."""
    assert wrap("one two three", text_width("one two", 10), 10) == ["one two", "three"]
    lines = wrap("W" * 50 + " end", 100, 12)
    assert _squeezed("".join(lines)) == "W" * 50 + "end"
    assert all(text_width(line, 12) <= 100 for line in lines)


def test_bold_and_broad_text_is_wider() -> None:
    """The factors tell kinds of characters apart."""
    assert text_width("ill", 10) < text_width("abc", 10) < text_width("ABC", 10) < text_width("WWW", 10)
    assert text_width("abc", 10) < text_width("abc", 10, bold=True)


def test_text_becomes_one_line_of_what_can_be_shown() -> None:
    """Control characters and turned directions are replaced, blanks are single, letters stay."""
    assert (
        printable("a\x07b\u202ec\t d\u2028e ß")
        == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}c d e ß"
    )


def test_mermaid_syntax_becomes_entities_and_letters_stay() -> None:
    """An entity has the number of its character."""
    assert escape('Ü "x" #1;') == "Ü #34;x#34; #35;1#59;"
