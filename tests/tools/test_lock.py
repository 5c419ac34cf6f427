"""What is pinned: one version of each package, with its hashes, from no place, and the same everywhere."""

import importlib.metadata
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import lock

PROJECT = Path(__file__).parents[2]
_TWO_OF_FOUR = """
[project]
dependencies = ["a>=1", "moneypath[x]==1", "moneypath", "moneypathology"]
"""
FILES = sorted(path.name for path in (PROJECT / "requirements").glob("*.txt"))


def pins(text: str) -> dict[str, Requirement]:
    """Return the requirement of each package."""
    lines = (line.removesuffix(" \\") for line in text.splitlines() if line[:1].isalnum())
    return {canonicalize_name(each.name): each for each in map(Requirement, lines)}


def read(name: str) -> str:
    """Return a file of requirements/."""
    return (PROJECT / "requirements" / name).read_text(encoding="utf-8")


def without_hash(text: str) -> Iterator[str]:
    """Name the lines that pin no exact version or no hash."""
    entries = re.split(r"\n(?=\S)", text.removeprefix(lock.HEADER).strip())
    for entry in entries:
        first, *hashes = entry.split(" \\\n")
        exact = re.fullmatch(r"[a-z0-9-]+==[^*,\s]+( ; .+)?", first)
        if not (
            exact and hashes and all(re.fullmatch(r" +--hash=sha256:[0-9a-f]{64}", each) for each in hashes)
        ):
            yield first


@pytest.mark.parametrize("name", FILES)
def test_every_package_has_one_version_and_hashes(name: str) -> None:
    """And nothing else stands in the file: no index, no option, no URL."""
    assert list(without_hash(read(name))) == []


@pytest.mark.parametrize(
    "line",
    [
        "a==1",
        "a>=1 \\\n    --hash=sha256:" + "0" * 64,
        "--index-url x",
        "a==1 \\\n    --hash=md5:" + "0" * 32,
    ],
)
def test_a_line_that_holds_nothing_fast_is_named(line: str) -> None:
    """The check above can fail."""
    assert list(without_hash(lock.HEADER + line + "\n")) != []


def test_the_files_are_those_of_the_command() -> None:
    """A file that `make lock` no longer writes would stay as it is for ever."""
    assert [f"{each}.txt" for each in sorted(target.name for target in lock.targets())] == FILES


def test_constraints_are_the_same_versions_without_hashes() -> None:
    """One hash among constraints would make pip ask for one of every package, the user's own included."""
    text = (PROJECT / "constraints.txt").read_text(encoding="utf-8")
    assert text == lock.HEADER + lock.strip_hashes(read("development.txt").removeprefix(lock.HEADER))
    assert "--hash" not in text
    assert pins(text).keys() == pins(read("development.txt")).keys()


def test_one_version_everywhere() -> None:
    """The image runs what was tested here."""
    widest = pins(read("development.txt"))
    for name in ("image.txt", "build.txt", "runners.txt"):
        shared = pins(read(name)).keys() & widest.keys()
        assert all(widest[each].specifier == pins(read(name))[each].specifier for each in shared), name
        assert shared == pins(read(name)).keys() or name == "runners.txt"


def test_what_is_installed_is_what_is_pinned() -> None:
    """Each package of this environment, but the project, pip and what came with Python."""
    wanted = pins(read("development.txt"))
    found = {
        canonicalize_name(each.metadata["Name"]): each.version for each in importlib.metadata.distributions()
    }
    extra = found.keys() - wanted.keys() - {"moneypath", "moneypath-reference", "pip", "setuptools"}
    assert extra == set()
    needed = {name: each for name, each in wanted.items() if each.marker is None or each.marker.evaluate()}
    assert {name: found.get(canonicalize_name(name)) for name in needed} == {
        name: str(each.specifier).removeprefix("==") for name, each in needed.items()
    }


def test_the_builder_is_pinned_as_the_project_asks() -> None:
    """It is installed with its hash, because pip would fetch one of its own without; uv and pipx are too."""
    for file in (PROJECT / "pyproject.toml", lock.REFERENCE):
        project = tomllib.loads(file.read_text(encoding="utf-8"))
        assert project["build-system"]["requires"] == [str(pins(read("build.txt"))["hatchling"])]
    assert str(pins(read("lock.txt"))["uv"]) == str(pins(read("runners.txt"))["uv"]) == lock.UV
    assert str(pins(read("runners.txt"))["pipx"]) == lock.PIPX


def test_what_the_reference_needs_is_pinned_and_the_platform_is_not() -> None:
    """The image has the reference's packages; no index is asked for ours."""
    needs = [canonicalize_name(Requirement(each).name) for each in lock.reference_needs(_TWO_OF_FOUR)]
    assert needs == ["a", "moneypathology"]
    for name in ("development.txt", "image.txt"):
        for need in map(Requirement, lock.reference_needs(lock.REFERENCE.read_text(encoding="utf-8"))):
            assert pins(read(name))[canonicalize_name(need.name)].specifier, name
