"""Test on compose's versions of Prometheus and Alertmanager: `make newest`. Needs Go; builds once, for long.

The distribution's packages, on which the other tests run, are older than the images of compose.yaml. This
builds the images' versions from source by Go's module proxy, once, into the cache, and runs on them what
talks to either: the real servers, the generated rules and routes, whole stacks, and a drill. Without Go it
says so and ends with 2.

Prometheus is built without its web pages and without the service discoveries of clouds: neither is used here.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from moneypath.errors import MoneypathError
from moneypath.stack import folders
from moneypath.workflows import image_pins

ROOT = Path(__file__).resolve().parent.parent
TESTS = ("tests/stack/test_real_monitoring.py", "tests/prometheus", "tests/alerting")
# Without the test of the demo, which opens Prometheus' web pages; the drill is most of the demo.
LIVE_TESTS = ("tests/live", "--deselect", "tests/live/test_keep.py")
DRILL = "drills/drill-002-partial-provider-outage.yaml"
NOT_TESTED = 2
_BUILD_WITHIN_SECONDS = 3 * 3600.0
_OUTPUT_KEPT = 2000
# Large, and in no Go package that is built; Alertmanager's react-app is one.
_WEB_SOURCES = shutil.ignore_patterns("mantine-ui", "node_modules")
_VERSION = "github.com/prometheus/common/version.Version"


class BuildFailed(MoneypathError):
    """Go did not build a server."""

    code = "build_failed"


@dataclass(frozen=True, slots=True)
class Source:
    """A server as compose.yaml names it, and its Go module."""

    name: str
    version: str
    programs: tuple[str, ...]

    @property
    def module(self) -> str:
        """Return module and version; Prometheus 3.5.1 is released to Go as 0.305.1."""
        major, minor, patch = self.version.split(".")
        shown = f"0.{int(major) * 100 + int(minor)}.{patch}" if self.name == "prometheus" else self.version
        return f"github.com/prometheus/{self.name}@v{shown}"


def read_sources(compose: Path) -> tuple[Source, ...]:
    """Return the versions that compose.yaml names."""
    places = image_pins.find_images(image_pins.read(compose))
    tags = {place.image.path: place.image.tag.removeprefix("v") for place in places}
    return (
        Source("prometheus", tags["prom/prometheus"], ("prometheus", "promtool")),
        Source("alertmanager", tags["prom/alertmanager"], ("alertmanager", "amtool")),
    )


def build(source: Source, go: str, environ: Mapping[str, str]) -> Path:
    """Return the folder with the programs; build them unless the cache has them."""
    cache = folders.cache_folder(environ) / "built"
    folder = cache / f"{source.name}-{source.version}"
    if folder.is_dir():
        say(f"{source.name} {source.version} is there already: {folder}")
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    say(f"building {source.name} {source.version} from {source.module} (long, once)")
    start = time.monotonic()
    with tempfile.TemporaryDirectory(dir=cache, prefix=".new-") as work:
        module = json.loads(_run([go, "mod", "download", "-json", source.module], Path(work), environ))
        tree = Path(work, "source")
        # A module in Go's cache is read-only, and its own go.mod decides what is built with it.
        shutil.copytree(module["Dir"], tree, ignore=_WEB_SOURCES, copy_function=shutil.copyfile)
        _leave_out_clouds(tree / "plugins" / "plugins.go")
        programs = Path(work, "bin")
        programs.mkdir()
        version = ["-ldflags", f"-X {_VERSION}={source.version}"]
        packages = [f"./cmd/{program}" for program in source.programs]
        _run(
            [go, "build", "-buildvcs=false", *version, "-o", f"{programs}{os.sep}", *packages], tree, environ
        )
        programs.rename(folder)
    say(f"built in {time.monotonic() - start:.0f} s: {folder}")
    return folder


def _leave_out_clouds(plugins: Path) -> None:
    """Leave only the discoveries that a file beside this one registers, by file and by HTTP."""
    if plugins.exists():
        plugins.parent.chmod(0o755)
        plugins.unlink()
        plugins.write_text("package plugins\n", encoding="utf-8")


def _run(command: list[str], folder: Path, environ: Mapping[str, str]) -> str:
    try:
        done = subprocess.run(
            command, cwd=folder, env=dict(environ), capture_output=True, text=True,
            errors="replace", timeout=_BUILD_WITHIN_SECONDS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildFailed(f"Go did not build: {error}.") from error
    if done.returncode:
        hint = f"Check that Go's module proxy can be reached. Last output:\n{done.stderr[-_OUTPUT_KEPT:]}"
        raise BuildFailed(
            f"Go did not build: {' '.join(command[:3])} ended with {done.returncode}.", hint=hint
        )
    return done.stdout


def test(environ: Mapping[str, str]) -> int:
    """Run the tests of monitoring and a drill on the programs that the variables name; 0 if all passed."""
    pytest = [sys.executable, "-m", "pytest", "-n", "2", "-m", "not proof", *TESTS]
    live = [sys.executable, "-m", "pytest", "-m", "live and not proof", *LIVE_TESTS]
    drill = [sys.executable, "-m", "moneypath", "drill", "run", DRILL]
    failed = [
        command
        for command in (pytest, drill, live)
        if subprocess.run(command, cwd=ROOT, env=environ).returncode
    ]
    for command in failed:
        say(f"failed: {' '.join(command[1:])}")
    return 1 if failed else 0


def main() -> int:
    """Build, and test on what was built."""
    parser = argparse.ArgumentParser(description="Test on compose's versions of Prometheus and Alertmanager.")
    parser.add_argument("--build", action="store_true", help="only build, and print the variables to export")
    only_build = parser.parse_args().build
    go = shutil.which("go")
    if go is None:
        say("Go is not installed: nothing was built and nothing tested. Install Go and run the same again.")
        return NOT_TESTED
    os.nice(10)
    try:
        sources = read_sources(ROOT / "compose.yaml")
        built = [
            (build(source, go, os.environ), program) for source in sources for program in source.programs
        ]
    except MoneypathError as error:
        say(str(error))
        return 1
    variables = {f"MONEYPATH_{program.upper()}_BINARY": str(folder / program) for folder, program in built}
    if only_build:
        sys.stdout.write("".join(f"export {name}='{value}'\n" for name, value in variables.items()))
        return 0
    return test({**os.environ, **variables})


def say(text: str) -> None:
    """Print progress."""
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
