"""The wallet is another team's: it shares no import, code, table or name with the reference service."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.target.service_words import find_words, names
from wallet.tables import Base

PROJECT = Path(__file__).parents[2]
WALLET = PROJECT / "examples" / "wallet"
SOURCES = PROJECT / "src"
OURS = ("refpay", "acquirers", "refstack")
# What each part may import of ours and of its neighbours.
MAY_IMPORT = {
    "wallet": ("moneypath.telemetry", "wallet"),
    "bank": ("bank",),
    "load": (),
    "faults": (),
    "wallet_stack": ("moneypath", "wallet_stack"),
}
NEIGHBOURS = ("moneypath", "wallet", "bank", "wallet_stack", "loadtests", *OURS)
# A function of so many statements that is written twice is not chance.
LEAST_STATEMENTS = 4
_TABLE = re.compile(r"CREATE (?:TEMPORARY |OR REPLACE )?(?:TABLE|VIEW) (?:IF NOT EXISTS )?([\w.]+)", re.I)


def imports(tree: ast.AST) -> Iterator[str]:
    """Yield the name of each module that is imported."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield f"{'.' * node.level}{node.module or ''}"


def forbidden(tree: ast.AST, allowed: tuple[str, ...]) -> list[str]:
    """Return the imports of ours or of a neighbour that are not allowed."""
    found = []
    for name in imports(tree):
        of_ours = any(name == one or name.startswith(f"{one}.") for one in NEIGHBOURS)
        if of_ours and not any(name == one or name.startswith(f"{one}.") for one in allowed):
            found.append(name)
    return found


def tables(folder: Path) -> set[str]:
    """Return the tables and views that the files of a folder create, without their schemas."""
    texts = (file.read_text("utf-8") for file in folder.rglob("*") if file.suffix in {".sql", ".py"})
    return {name.rpartition(".")[2].lower() for each in texts for name in _TABLE.findall(each)}


def functions(folder: Path) -> dict[str, str]:
    """Return the body of each function of some length, with where it stands."""
    found = {}
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = [part for part in node.body if not _is_docstring(part)]
                if (
                    sum(isinstance(one, ast.stmt) for part in body for one in ast.walk(part))
                    >= LEAST_STATEMENTS
                ):
                    found["\n".join(map(ast.dump, body))] = f"{file.name}:{node.name}"
    return found


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


@pytest.mark.parametrize("part", MAY_IMPORT)
def test_it_imports_what_another_team_could(part: str) -> None:
    """The service uses the library alone, the bank nothing of ours, the starter the platform."""
    files = sorted((WALLET / part).rglob("*.py"))
    assert files
    for file in files:
        assert forbidden(ast.parse(file.read_text("utf-8")), MAY_IMPORT[part]) == [], file


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ("from moneypath.stack import secrets", "wallet"),
        ("import refpay.ledger", "wallet"),
        ("from moneypath.telemetry import setup", "bank"),
        ("from wallet.tables import Purse", "faults"),
        ("import refstack.servers", "wallet_stack"),
        ("from bank.statement import Statement", "wallet_stack"),
    ],
)
def test_a_planted_import_is_found(source: str, part: str) -> None:
    """Each part is held to its own rule."""
    assert forbidden(ast.parse(source), MAY_IMPORT[part])


def test_every_file_of_code_belongs_to_a_part() -> None:
    """No folder escapes the rules."""
    parts = {file.relative_to(WALLET).parts[0] for file in WALLET.rglob("*.py")}
    assert parts == set(MAY_IMPORT)


def test_it_shares_no_table() -> None:
    """Neither with the reference service nor with its providers."""
    theirs = tables(SOURCES / "refpay") | tables(SOURCES / "acquirers")
    own = set(Base.metadata.tables) | tables(WALLET)
    assert {"entry", "balance", "operation"} <= theirs, "the search finds theirs"
    assert {"purse", "movement", "purse_line"} <= own, "the search finds its own"
    assert own & theirs == set()


def test_it_shares_no_function() -> None:
    """No function of some length has the body of one of ours."""
    theirs = {body: place for name in OURS for body, place in functions(SOURCES / name).items()}
    own = functions(WALLET)
    assert len(own) > 30
    assert [f"{own[body]} is {theirs[body]}" for body in own.keys() & theirs.keys()] == []


def test_a_copied_function_is_found(tmp_path: Path) -> None:
    """Also under another name, with another docstring."""
    source = "def a(x):\n    '''One.'''\n    y = x\n    y += 1\n    y += 2\n    return y\n"
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    (tmp_path / "one" / "m.py").write_text(source)
    (tmp_path / "two" / "m.py").write_text(source.replace("One", "Two").replace("def a", "def b"))
    assert functions(tmp_path / "one").keys() == functions(tmp_path / "two").keys()


def test_it_names_neither_the_service_nor_its_providers() -> None:
    """Its files say nothing of them."""
    words = {name: re.compile(rf"\b{re.escape(name)}") for name in names()}
    assert find_words(WALLET, words) == set()
