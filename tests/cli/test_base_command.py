"""The command of the base install, which is the library alone."""

import subprocess
import sys
from pathlib import Path

import pytest
import structlog

SOURCE = Path(__file__).parents[2] / "src"


def command(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a Python that has structlog and no site-packages."""
    (tmp_path / "structlog").symlink_to(Path(structlog.__file__).parent, target_is_directory=True)
    return subprocess.run(
        [sys.executable, "-S", "-B", "-m", "moneypath", *arguments],
        env={"PYTHONPATH": f"{SOURCE}:{tmp_path}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("arguments", [(), ("--help",), ("demo",)])
def test_it_says_in_one_sentence_what_to_install(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """No stack trace, and not the code of success."""
    done = command(tmp_path, *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("moneypath: the command line needs the extra platform (")
    assert done.stderr.endswith("pip install 'moneypath[platform]'\n")
    assert done.stderr.count("\n") == 1


def test_a_module_of_our_own_that_is_missing_is_a_defect_and_shown_as_one(tmp_path: Path) -> None:
    """No extra would help there."""
    (tmp_path / "click.py").write_text("import moneypath.nowhere\n")
    done = command(tmp_path)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "No module named 'moneypath.nowhere'" in done.stderr
