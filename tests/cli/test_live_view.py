"""What is shown never stands in the way of what is done."""

import subprocess
import sys

SHOW = """
import sys
from moneypath.cli.live_view import LiveView

observer = LiveView().observer
observer.announce("first")
sys.stdin.readline()
for _ in range(3):
    observer.announce("nobody reads this")
print("went on", file=sys.stderr)
"""


def test_a_reader_that_leaves_does_not_end_the_work() -> None:
    """After `| head -1` the drill goes on in silence, and nothing is complained of at the end."""
    with subprocess.Popen(
        [sys.executable, "-c", SHOW],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        assert "first" in process.stdout.readline()
        process.stdout.close()
        process.stdin.close()
        assert process.stderr.read() == "went on\n"
        assert process.wait(timeout=30) == 0
