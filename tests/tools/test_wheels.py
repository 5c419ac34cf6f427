"""What the two wheels hold: their packages, everything that these read, and nothing of the tests."""

import email.message
import email.parser
import importlib.util
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

import pytest

import wheels as tool
from moneypath.path.problems import DeclarationInvalid
from moneypath.workflows.declaration import load_declaration
from moneypath.workflows.drill import load_drill

ROOT = tool.ROOT
PROJECT = "refstack/project/"
REFERENCE_PACKAGES = ("acquirers", "refpay", "refstack")
GENERATED = tuple(
    line.split()[1]
    for line in (ROOT / "moneypath.sha256").read_text(encoding="utf-8").splitlines()
    if re.match(r"[0-9a-f]{64} ", line)
)
# Folders of the reference project that the wheel brings as they are, and what it leaves out.
FOLDERS = ("alerts", "dashboards", "drills", "runbooks", "targets", "loadtests")
LEFT_OUT = "loadtests/badbuilds/"
pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tool.Wheels:
    """Both wheels, built once."""
    return tool.build(tmp_path_factory.mktemp("dist"))


def names(wheel: Path) -> set[str]:
    """Return the files of a wheel, but those that describe it."""
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def described(wheel: Path, file: str) -> str:
    """Return a file that describes a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [each for each in archive.namelist() if each.endswith(f".dist-info/{file}")]
        return archive.read(name).decode()


def metadata(wheel: Path) -> email.message.Message:
    """Return a wheel's metadata."""
    return email.parser.Parser().parsestr(described(wheel, "METADATA"))


def packages_of(files: Iterable[str]) -> set[str]:
    """Return what becomes importable."""
    return {PurePosixPath(name).parts[0] for name in files}


def sources(package: str) -> set[str]:
    """Return the files of a package as they are in the working tree."""
    files = (file for file in (ROOT / "src" / package).rglob("*") if file.is_file())
    return {file.relative_to(ROOT / "src").as_posix() for file in files if "__pycache__" not in file.parts}


def of_tests(files: Iterable[str]) -> Iterator[str]:
    """Name what belongs to tests, measurements and proofs; promtool's tests are part of a project."""
    folders = {"tests", "benchmarks", "proofs", "badbuilds", "__pycache__", "sabotage"}
    for name in files:
        path = PurePosixPath(name)
        if name.startswith(f"{PROJECT}alerts/tests/") and path.suffix == ".yml":
            continue
        if folders & set(path.parts) or re.match(r"(test_.*|conftest)\.py$|.*\.pyc$", path.name):
            yield name


def test_the_platform_brings_one_package_and_the_reference_its_three(built: tool.Wheels) -> None:
    """Whoever installs moneypath keeps a package `acquirers` of their own."""
    assert packages_of(names(built.platform)) == {"moneypath"}
    assert packages_of(names(built.reference)) == set(REFERENCE_PACKAGES)
    assert packages_of({"moneypath/a.py", "acquirers/b.py", "stray.py"}) == {
        "moneypath",
        "acquirers",
        "stray.py",
    }


def test_every_file_of_a_package_is_in_its_wheel(built: tool.Wheels) -> None:
    """Types, migrations and catalogues too; and nothing that is not in the source tree."""
    assert names(built.platform) == sources("moneypath")
    assert "moneypath/py.typed" in names(built.platform)
    own = {name for name in names(built.reference) if not name.startswith(PROJECT)}
    assert own == {name for package in REFERENCE_PACKAGES for name in sources(package)}


def test_nothing_of_the_tests_is_in_a_wheel(built: tool.Wheels) -> None:
    """Nor of measurements, proofs, bad builds, nor what Python compiled."""
    assert list(of_tests(names(built.platform) | names(built.reference))) == []


@pytest.mark.parametrize(
    "planted",
    [
        "moneypath/tests/helper.py",
        "moneypath/cli/test_main.py",
        "refpay/conftest.py",
        "benchmarks/measuring.py",
        "moneypath/cli/__pycache__/main.cpython-311.pyc",
        f"{PROJECT}loadtests/badbuilds/hangs.py",
        f"{PROJECT}alerts/tests/helper.py",
    ],
)
def test_a_file_of_the_tests_is_named(planted: str) -> None:
    """The check above can fail."""
    assert list(of_tests([planted, f"{PROJECT}alerts/tests/MoneyPathWatchdog.test.yml"])) == [planted]


def test_the_reference_project_is_whole_and_as_it_is_here(built: tool.Wheels, tmp_path: Path) -> None:
    """All that is written by hand and all that is generated, byte for byte."""
    with zipfile.ZipFile(built.reference) as archive:
        packed = {name: archive.read(name) for name in names(built.reference) if name.startswith(PROJECT)}
    packed = {name.removeprefix(PROJECT): content for name, content in packed.items()}
    by_hand = {
        file.relative_to(ROOT).as_posix()
        for folder in FOLDERS
        for file in (ROOT / folder).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    wanted = {name for name in by_hand if not name.startswith(LEFT_OUT)}
    assert packed.keys() == wanted | {*GENERATED, "moneypath.yaml", "moneypath.sha256"}
    for name, content in packed.items():
        assert content == (ROOT / name).read_bytes(), name


@pytest.fixture(scope="module")
def project(built: tool.Wheels, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reference project, unpacked from the wheel."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(built.reference) as archive:
        archive.extractall(folder, [name for name in archive.namelist() if name.startswith(PROJECT)])
    return folder / PROJECT


def test_the_packed_project_is_sound(project: Path) -> None:
    """Its declaration, its drills with their runbooks and targets, its generated files."""
    path = load_declaration(project)
    drills = sorted((project / "drills").glob("*.yaml"))
    assert len(drills) == 5
    for file in drills:
        load_drill(project, file, path)
    for command in (("generate", "--check"), ("runbook", "lint")):
        done = subprocess.run(
            [sys.executable, "-m", "moneypath", *command, "--project", str(project)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_project_that_lacks_a_file_is_refused(project: Path, tmp_path: Path) -> None:
    """The test above can fail."""
    copy, gone = tmp_path / "project", "runbooks/partial-provider-outage.md"
    for file in project.rglob("*"):
        if file.is_file() and file != project / gone:
            (copy / file.relative_to(project)).parent.mkdir(parents=True, exist_ok=True)
            (copy / file.relative_to(project)).write_bytes(file.read_bytes())
    with pytest.raises(DeclarationInvalid, match='there is no runbook "partial-provider-outage"'):
        load_declaration(copy)


def test_versions_and_needs_agree(built: tool.Wheels) -> None:
    """The base needs structlog alone, and the reference the platform of its own version."""
    platform, reference = metadata(built.platform), metadata(built.reference)
    version = platform["Version"]
    assert reference["Version"] == version
    assert f"moneypath[load,platform]=={version}" in reference.get_all("Requires-Dist", [])
    needs = platform.get_all("Requires-Dist", [])
    assert [need for need in needs if "extra ==" not in need] == ["structlog>=25.4"]
    assert "platform" in platform.get_all("Provides-Extra", [])
    assert not any(re.match(r"(nats-py|starlette|uvicorn|pyjwt)\b", need, re.I) for need in needs)
    assert (platform["Name"], reference["Name"]) == ("moneypath", "moneypath-reference")
    for wheel in (built.platform, built.reference):
        assert described(wheel, "licenses/LICENSE") == (ROOT / "LICENSE").read_text(encoding="utf-8")


def test_the_demo_comes_with_the_reference_alone(built: tool.Wheels) -> None:
    """By entry points; the command `moneypath` belongs to the platform."""
    platform, reference = (described(each, "entry_points.txt") for each in (built.platform, built.reference))
    assert "[console_scripts]\nmoneypath = moneypath.__main__:main\n" in platform
    assert "ref" not in platform
    assert "[moneypath.commands]\ndemo = refstack.commands:demo\n" in reference
    assert "[moneypath.stacks]\nreference = refstack.live_stack:REFERENCE\n" in reference
    assert "[console_scripts]\nmoneypath-reference = moneypath.__main__:main\n" in reference


def test_the_image_gets_what_the_wheels_are_built_from() -> None:
    """Docker sends what .dockerignore names; a source that is not sent ends the build of the wheel."""
    given = tomllib.loads((ROOT / "reference/pyproject.toml").read_text(encoding="utf-8"))
    wheel = given["tool"]["hatch"]["build"]["targets"]["wheel"]
    ignore = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    sent = {line.removeprefix("!") for line in ignore if line.startswith("!")}
    for source in wheel["hooks"]["custom"]["include"]:
        name = PurePosixPath(os.path.normpath(f"reference/{source}"))
        assert {str(name), *map(str, name.parents)} & sent, source


def test_the_environment_of_this_checkout_has_no_copy_of_its_sources() -> None:
    """A copy beside the installed packages would hide every change of the sources."""
    found = {
        name: importlib.util.find_spec(name) for name in ("acquirers", "moneypath", "refpay", "refstack")
    }
    places = {name: Path(str(spec.origin)).parent for name, spec in found.items() if spec is not None}
    assert places == {name: ROOT / "src" / name for name in found}
    installed = Path(sysconfig.get_path("purelib"))
    assert not [name for name in found if (installed / name).exists()]


def test_the_older_wheel_goes_when_the_new_one_is_there(built: tool.Wheels, tmp_path: Path) -> None:
    """What others put into the folder stays, and the same sources give the same bytes."""
    for name in ("moneypath-0.0.9-py3-none-any.whl", "other-1-py3-none-any.whl"):
        (tmp_path / name).touch()
    again = tool.build(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {
        again.platform.name,
        again.reference.name,
        "other-1-py3-none-any.whl",
    }
    assert again.platform.read_bytes() == built.platform.read_bytes()
    assert again.reference.read_bytes() == built.reference.read_bytes()


def test_a_build_that_fails_is_told_and_leaves_the_old_wheels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the last lines of what pip said."""
    (tmp_path / "moneypath-0.0.9-py3-none-any.whl").touch()
    monkeypatch.setattr(tool, "ROOT", tmp_path / "nowhere")
    with pytest.raises(tool.CommandFailed, match=r"pip .* ended with 1:\n.*nowhere"):
        tool.build(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["moneypath-0.0.9-py3-none-any.whl"]


def test_a_command_that_takes_too_long_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index that does not answer holds nobody up for ever."""
    monkeypatch.setattr(tool, "BUILD_SECONDS", 0.01)
    with pytest.raises(tool.CommandFailed, match=r"took longer than 0\.01 s and was stopped"):
        tool.build(tmp_path)


def test_a_folder_with_other_things_is_never_cleared(tmp_path: Path) -> None:
    """An environment is made anew; somebody's folder is not."""
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(tool.CommandFailed, match="holds something else than an environment"):
        tool.make_environment(tmp_path, [])
    assert (tmp_path / "thesis.tex").exists()


def test_no_process_outside_finds_the_working_tree() -> None:
    """Neither by Python's own variables nor by PATH."""
    found = tool.outside(
        {
            "PATH": f"{ROOT}/.venv/bin:/usr/bin:{ROOT}-other/bin",
            "PYTHONPATH": "src",
            "VIRTUAL_ENV": "x",
            "A": "1",
        }
    )
    assert found == {"PATH": f"/usr/bin:{ROOT}-other/bin", "A": "1"}
